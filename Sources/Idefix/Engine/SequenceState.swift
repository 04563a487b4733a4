// One answer in the making: its tokens, which of them are cached and where, and how it ends. A sequence has always at
// least one token that is not cached yet; what it does next follows from that alone:
//   waiting (no blocks) → prefilling (several tokens to go) ⇄ decoding (one to go) → finished;
//   preempted = back to waiting with its tokens kept.

import IdeficsModel

/// The state of one answer.
///
/// Belongs to the engine thread.
final class SequenceState {
  let request: RequestState
  /// Which of the request's answers it is.
  var index: Int
  /// Order among the sequences of a request.
  var serial = 0
  /// Prompt and answer.
  private(set) var tokens: [Int32]
  /// Tokens whose keys and values are in the blocks.
  var cachedCount = 0
  /// Blocks of 16 tokens, in order.
  private(set) var blocks: [BlockID] = []
  /// The blocks' pages, `[layer][block]`.
  private(set) var table: PageTable
  /// Names of the full blocks of `tokens`, as far as they were needed.
  private var keys: [ContentKey] = []
  /// Leading blocks that are published or were found.
  var publishedCount = 0

  var sampler: Sampler
  var answer: AnswerText
  /// State of the request's constraint.
  var constraintState: Int32
  var drafter: Drafter
  /// The tokens of the answer as they were reported.
  var events: [TokenEvent] = []
  var finishReason: FinishReason?
  /// Beam search: summed log-probability of the answer, and its score once it is complete.
  var beamScore = 0.0
  var score: Float?

  init(
    request: RequestState,
    index: Int,
    layers: Int,
    sampler: Sampler,
    answer: AnswerText
  ) {
    self.request = request
    self.index = index
    self.sampler = sampler
    self.answer = answer
    tokens = request.prepared.tokens
    constraintState = request.constraint?.start ?? 0
    table = PageTable(layers: Array(repeating: [], count: layers))
    drafter = Drafter(prompt: request.prepared.tokens)
  }

  /// A copy that goes on from the same point as answer `index`; its blocks are `source`'s, to be retained.
  init(forking source: SequenceState, index: Int, sampler: Sampler) {
    request = source.request
    self.index = index
    self.sampler = sampler
    tokens = source.tokens
    cachedCount = source.cachedCount
    blocks = source.blocks
    table = source.table
    keys = source.keys
    publishedCount = source.publishedCount
    answer = source.answer
    constraintState = source.constraintState
    drafter = source.drafter
    events = source.events
    beamScore = source.beamScore
  }

  /// Whether this sequence goes before another: by request, then by when it came to be.
  func isOlder(than other: SequenceState) -> Bool {
    request.id != other.request.id ? request.id < other.request.id : serial < other.serial
  }

  /// Tokens that the next steps have to compute.
  var pendingCount: Int { tokens.count - cachedCount }

  /// Tokens of the answer.
  var answerCount: Int { tokens.count - request.prepared.tokens.count }

  /// The image a token attends to; generated tokens attend where the last prompt token does.
  func attendedImage(_ position: Int) -> Int {
    let attended = request.prepared.attendedImages
    return position < attended.count ? attended[position] : request.prepared.answerImage
  }

  /// Images that tokens from `position` on, or the answer, attend to.
  func images(from position: Int) -> Set<Int> {
    var images = Set(request.prepared.attendedImages.dropFirst(position))
    images.insert(request.prepared.answerImage)
    images.remove(-1)
    return images
  }

  /// Takes a token into the answer.
  func append(_ token: Int32) {
    tokens.append(token)
    sampler.accept(token)
    drafter.append(token)
    if let constraint = request.constraint {
      constraintState = constraint.state(after: token, from: constraintState)
    }
  }

  /// The name of full block `index`.
  func key(ofBlock index: Int) -> ContentKey {
    while keys.count <= index {
      let range = (keys.count * pageTokens)..<((keys.count + 1) * pageTokens)
      let images = range.map { position in
        let image = attendedImage(position)
        return image < 0 ? nil : request.prepared.images[image].key
      }
      keys.append(
        (keys.last ?? request.prepared.root).followed(by: tokens[range], images: images)
      )
    }
    return keys[index]
  }

  /// Adds a block at the end.
  func append(_ block: BlockID, pages: [Int32]) {
    blocks.append(block)
    for (layer, page) in pages.enumerated() { table.layers[layer].append(page) }
  }

  /// Puts another block in the place of block `index`.
  func replace(_ index: Int, with block: BlockID, pages: [Int32]) {
    blocks[index] = block
    for (layer, page) in pages.enumerated() { table.layers[layer][index] = page }
  }

  /// Forgets blocks and cached tokens; the caller releases the blocks.
  func dropBlocks() {
    blocks = []
    table = PageTable(layers: Array(repeating: [], count: table.layers.count))
    cachedCount = 0
    publishedCount = 0
  }

  /// Runs of tokens `range` by attended image.
  func imageRuns(_ range: Range<Int>) -> [ImageRun] {
    var runs: [ImageRun] = []
    var last: Int?
    for position in range {
      let image = attendedImage(position)
      if image == last {
        runs[runs.count - 1].tokenCount += 1
      } else {
        runs.append(ImageRun(tokenCount: 1, image: image < 0 ? nil : request.images[image].pages))
        last = image
      }
    }
    return runs
  }
}

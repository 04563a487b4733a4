// Which weights stay in memory and which are read anew for every pass: the policy of a memory budget,
// as a value. `idefix plan` prints what the engine does because both ask here.
//
// What is streamed first is what costs least: the sections of images are read once an image, those of
// text in every pass. Streamed sections are spread evenly over a pass, so that reading goes on while the
// pinned ones between them are computed.
//
// Without a budget nothing is streamed, but memory is not taken for what is not in use: the sections of images are
// decoded when an image needs them, stay while images keep coming, and are let go when text goes on without one.

import WeightFiles

/// How the weights of a model are kept within a number of bytes.
public struct ResidencyPlan: Sendable, Hashable {
  /// A section with its sizes.
  public struct Part: Sendable, Hashable {
    /// The section.
    public let section: WeightSection
    /// Bytes in memory.
    public let bytes: Int
    /// Bytes in the file.
    public let storedBytes: Int
    /// Bytes that a mapped file has as they are used.
    public let inPlaceBytes: Int

    /// A section of the given sizes.
    public init(section: WeightSection, bytes: Int, storedBytes: Int, inPlaceBytes: Int = 0) {
      self.section = section
      self.bytes = bytes
      self.storedBytes = storedBytes
      self.inPlaceBytes = inPlaceBytes
    }

    /// The same as far as it takes memory for longer than it is in use, where raw blocks are used in place.
    fileprivate var lasting: Part {
      guard section.isMostlyIdle else { return self }
      return Part(section: section, bytes: bytes - inPlaceBytes, storedBytes: storedBytes)
    }
  }

  /// Slots that streamed sections share: one is computed from while the other is filled.
  public static let slots = 2

  /// Bytes of norms, biases and other small tensors, always in memory.
  public let smallBytes: Int
  /// Sections that stay in memory.
  public let pinned: [Part]
  /// Sections that are read for every image, in order.
  public let imageStream: [Part]
  /// Sections that are read in every pass over text, in order.
  public let textStream: [Part]
  /// Sections that are decoded when an image needs them and stay until text has gone on without one, in order.
  public let onDemand: [Part]

  /// Bytes of one slot: the largest streamed section.
  public var slotBytes: Int { (imageStream + textStream).map(\.bytes).max() ?? 0 }
  /// Bytes of memory for all weights, but for those decoded on demand.
  public var bytes: Int {
    smallBytes + pinned.reduce(0) { $0 + $1.bytes } + Self.slots * slotBytes
  }
  /// Bytes of memory for weights decoded on demand, while they stay.
  public var onDemandBytes: Int { onDemand.reduce(0) { $0 + $1.bytes } }
  /// Whether anything is read anew.
  public var isStreaming: Bool { slotBytes > 0 }
  /// Bytes that every pass over text decodes.
  public var bytesPerPass: Int { textStream.reduce(0) { $0 + $1.bytes } }
  /// Bytes that every pass over text reads from the file.
  public var storedBytesPerPass: Int { textStream.reduce(0) { $0 + $1.storedBytes } }
  /// Bytes that every image decodes.
  public var bytesPerImage: Int { imageStream.reduce(0) { $0 + $1.bytes } }
  /// Bytes that every image reads from the file.
  public var storedBytesPerImage: Int { imageStream.reduce(0) { $0 + $1.storedBytes } }

  private init(smallBytes: Int, parts: [Part], streamed: Set<WeightSection>) {
    self.smallBytes = smallBytes
    pinned = parts.filter { !streamed.contains($0.section) }
    imageStream = parts.filter { streamed.contains($0.section) && $0.section.isOfImages }
    textStream = parts.filter { streamed.contains($0.section) && !$0.section.isOfImages }
    onDemand = []
  }

  /// What needs no budget: what text needs stays, what images need is decoded on demand, and what is used in place but
  /// seldom counts for nothing.
  public init(withoutBudget inventory: SectionInventory) {
    let parts = inventory.parts.map(\.lasting)
    smallBytes = inventory.smallBytes
    pinned = parts.filter { !$0.section.isOfImages }
    imageStream = []
    textStream = []
    onDemand = parts.filter { $0.section.isOfImages && $0.bytes > 0 }
  }

  /// Everything stays in memory.
  public init(everythingOf inventory: SectionInventory) {
    self.init(smallBytes: inventory.smallBytes, parts: inventory.parts, streamed: [])
  }

  /// The plan that streams least within `room` bytes, or `nil` when not even the smallest fits.
  public init?(_ inventory: SectionInventory, room: Int) {
    let plan = Self.candidates(inventory).filter { $0.bytes <= room }.min {
      ($0.bytesPerPass, $0.bytesPerImage) < ($1.bytesPerPass, $1.bytesPerImage)
    }
    guard let plan else { return nil }
    self = plan
  }

  /// The fewest bytes that the weights of `inventory` can be kept in.
  public static func leastBytes(_ inventory: SectionInventory) -> Int {
    candidates(inventory).map(\.bytes).min() ?? 0
  }

  /// Plans from the one that streams nothing to the one that streams everything.
  private static func candidates(_ inventory: SectionInventory) -> [ResidencyPlan] {
    let parts = inventory.parts
    let images = parts.map(\.section).filter(\.isOfImages)
    // The embedding is read by row and the head is the largest section: those come last.
    let layers = parts.map(\.section).filter {
      !$0.isOfImages && $0 != .embedding && $0 != .head
    }
    func plan(_ streamed: [WeightSection]) -> ResidencyPlan {
      ResidencyPlan(smallBytes: inventory.smallBytes, parts: parts, streamed: Set(streamed))
    }
    var plans = (0...images.count).map { plan(evenly($0, of: images)) }
    plans += (0...layers.count).map { plan(images + evenly($0, of: layers)) }
    plans.append(plan(images + layers + [.head]))
    plans.append(plan(parts.map(\.section)))
    return plans
  }

  /// `count` of `sections`, spread evenly.
  private static func evenly(_ count: Int, of sections: [WeightSection]) -> [WeightSection] {
    sections.indices.filter { index in
      (index + 1) * count / sections.count > index * count / sections.count
    }.map { sections[$0] }
  }
}

/// The sections of a model with their sizes.
public struct SectionInventory: Sendable, Hashable {
  /// Bytes of what belongs to no section.
  public let smallBytes: Int
  /// Sections in order of use.
  public let parts: [ResidencyPlan.Part]

  /// An inventory of given sections.
  public init(smallBytes: Int, parts: [ResidencyPlan.Part]) {
    self.smallBytes = smallBytes
    self.parts = parts
  }

  /// The sections of a model whose tensors have the given sizes, in memory, in the file, and in place.
  public init(
    configuration: Configuration,
    sizes: [String: (bytes: Int, storedBytes: Int, inPlaceBytes: Int)]
  ) {
    let sections = WeightSection.all(of: configuration)
    var rest = sizes
    parts = sections.map { section, matrices in
      let own = matrices.compactMap { rest.removeValue(forKey: $0.name) }
      return ResidencyPlan.Part(
        section: section,
        bytes: own.reduce(0) { $0 + $1.bytes },
        storedBytes: own.reduce(0) { $0 + $1.storedBytes },
        inPlaceBytes: own.reduce(0) { $0 + $1.inPlaceBytes }
      )
    }
    smallBytes = rest.values.reduce(0) { $0 + $1.bytes }
  }

  /// The sections of a file.
  public init(configuration: Configuration, file: IdfxFile) {
    var sizes: [String: (bytes: Int, storedBytes: Int, inPlaceBytes: Int)] = [:]
    for tensor in file.tensors {
      let bytes = tensor.extents.reduce(0) { $0 + TensorPlacement.aligned($1.byteCount) }
      sizes[tensor.name] = (bytes, tensor.storedByteCount, file.isInPlace(tensor) ? bytes : 0)
    }
    self.init(configuration: configuration, sizes: sizes)
  }
}

// Byte-pair encoding as one would explain it: apply the first merge of the list that fits, the
// leftmost of several places, until none fits. Quadratic; the oracle for the real encoder.

import Foundation

/// The oracle.
struct ReferenceMerger {
  private struct File: Decodable {
    struct Model: Decodable {
      var vocab: [String: Int32]
      var merges: [String]
    }
    var model: Model
  }

  private let ids: [[UInt8]: Int32]
  private let ranks: [[[UInt8]]: Int]

  /// Reads a tokenizer.json.
  init(_ json: [UInt8]) throws {
    let model = try JSONDecoder().decode(File.self, from: Data(json)).model
    var ids: [[UInt8]: Int32] = [:]
    for (piece, id) in model.vocab { ids[Array(piece.utf8)] = id }
    var ranks: [[[UInt8]]: Int] = [:]
    for (rank, merge) in model.merges.enumerated() {
      ranks[merge.utf8.split(separator: UInt8(ascii: " ")).map(Array.init)] = rank
    }
    self.ids = ids
    self.ranks = ranks
  }

  /// The tokens of a text without special tokens.
  func encode(_ text: String) -> [Int32] {
    guard !text.isEmpty else { return [] }
    let characters = ("▁" + text).unicodeScalars.map { $0 == " " ? "▁" : $0 }
    var pieces = characters.flatMap { character -> [[UInt8]] in
      let bytes = Array(String(character).utf8)
      if ids[bytes] != nil { return [bytes] }
      return bytes.map { byte in
        let digits = String(byte, radix: 16, uppercase: true)
        return Array("<0x\(digits.count < 2 ? "0" : "")\(digits)>".utf8)
      }
    }
    while true {
      let candidates = pieces.indices.dropLast().compactMap { index in
        ranks[[pieces[index], pieces[index + 1]]].map { (rank: $0, index: index) }
      }
      guard let best = candidates.min(by: { ($0.rank, $0.index) < ($1.rank, $1.index) }) else {
        return pieces.compactMap { ids[$0] }
      }
      pieces[best.index] += pieces.remove(at: best.index + 1)
    }
  }
}

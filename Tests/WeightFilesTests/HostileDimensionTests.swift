// Dimensions whose product wraps around: the size that careless arithmetic would find is in the file, so that only
// arithmetic that notices the overflow refuses it.

import Tensors
import TestSupport
import Testing
import WeightFiles

@Suite struct HostileDimensionTests {
  /// Extents around every power of two at which something may wrap.
  private static let extents: [UInt64] = {
    var extents: [UInt64] = [0, 1, 2, 3, 7, .max - 1, .max]
    for bits: UInt64 in [16, 31, 32, 33, 40, 61, 62, 63] {
      let power = 1 << bits as UInt64
      extents += [power - 1, power, power + 1]
    }
    return extents
  }()

  private static let types = ["U8", "BF16", "F32", "F64"]
  private static let widths: [UInt64] = [1, 2, 4, 8]

  private func shape(_ random: inout SeededGenerator, upTo rank: Int) -> [UInt64] {
    (0..<Int.random(in: 0...rank, using: &random)).map { _ in
      Self.extents[Int.random(in: 0..<Self.extents.count, using: &random)]
    }
  }

  /// The product, or `nil` when it is more than 64 bits hold.
  private func product(_ factors: [UInt64]) -> UInt64? {
    // Zeros first: then no product before them can overflow.
    factors.sorted().reduce(1 as UInt64?) { product, factor in
      guard let product else { return nil }
      let (value, overflow) = product.multipliedReportingOverflow(by: factor)
      return overflow ? nil : value
    }
  }

  @Test func safetensorsOfWrappedSizesAreRefused() throws {
    var random = SeededGenerator(seed: 41)
    let folder = try TemporaryFolder()
    var accepted = 0
    for round in 0..<3000 {
      let dimensions = shape(&random, upTo: 9)
      let type = Int.random(in: 0..<4, using: &random)
      let wrapped = dimensions.reduce(Self.widths[type], &*)
      let count = Int(wrapped % 4096)
      let header =
        "{\"a\":{\"dtype\":\"\(Self.types[type])\",\"shape\":\(dimensions),"
        + "\"data_offsets\":[0,\(wrapped)]}}"
      let path = try folder.write(SafetensorsBytes.file(header: header, data: count), to: "x")
      let size = product(dimensions + [Self.widths[type]])
      let isGood = dimensions.count <= 8 && !dimensions.contains(0) && size == UInt64(count)
      guard isGood else {
        let error = #expect(throws: WeightFileError.self, "round \(round): \(header)") {
          try Safetensors(path: path)
        }
        #expect(error?.kind == .badData)
        continue
      }
      accepted += 1
      #expect(try Safetensors(path: path).tensors[0].byteCount == count, "round \(round)")
    }
    #expect(accepted > 0)
  }

  @Test func directoriesOfWrappedSizesAreRefused() throws {
    var random = SeededGenerator(seed: 42)
    let folder = try TemporaryFolder()
    var accepted = 0
    for round in 0..<2000 {
      var file = HandMadeIdfx()
      file.dimensions = shape(&random, upTo: 9)
      file.rank = file.dimensions.count
      file.encoding = Int.random(in: 0...5, using: &random)
      if file.encoding >= 4 { file.codebook = (-8..<8).map { Int8($0) } }
      // The block has the size that the product gives modulo 2^64, where that is a small one.
      let wrapped = file.dimensions.reduce(4, &*)
      file.storedSizes = [wrapped < 4096 ? Int(wrapped) : 8]
      let path = try folder.write(file.bytes, to: "x.idfx")
      // Up to 16 elements take one line of 64 bytes, as the two that are there do.
      let isGood =
        file.encoding == 0 && file.rank <= 8
        && (1...16).contains(product(file.dimensions) ?? 0)
      guard isGood else {
        let error = #expect(throws: WeightFileError.self, "round \(round): \(file.dimensions)") {
          try IdfxFile.open(path)
        }
        #expect(error?.kind == .badData)
        continue
      }
      accepted += 1
      #expect(try IdfxFile.open(path).tensors[0].byteCount == Int(wrapped), "round \(round)")
    }
    #expect(accepted > 0)
  }
}

// Rounding of a 4-bit tile column by column, where what was lost is added to the columns that are still
// to come, as the factor of `FeedbackFactor` says. The scale of a group is chosen when its turn comes,
// for the weights as they are by then. Owns the scratch of one worker. Deterministic: products and sums
// in a fixed order.

import Kernels
import Tensors

/// Error-compensating rounding of tiles of one matrix.
struct CompensatedRounding: ~Copyable {
  private let layout: PackedLayout
  private let search: GroupSearch
  private let feedback: FeedbackFactor
  private let importance: [Float]
  /// `[columns]`: the weights with what earlier columns have passed on.
  private var working: AlignedBuffer<Lanes>
  /// `[16]`: what the columns of a block have lost.
  private var errors: AlignedBuffer<Lanes>
  /// `[group]`: codes of a group.
  private var codes: AlignedBuffer<SIMD16<UInt32>>

  /// Rounding for matrices of `layout`, which is one of 4 bits.
  init(layout: PackedLayout, search: GroupSearch, feedback: FeedbackFactor) {
    precondition(feedback.columns == layout.columns, "feedback of another input")
    precondition(layout.encoding.group % FeedbackFactor.block == 0, "groups are whole blocks")
    self.layout = layout
    self.search = search
    self.feedback = feedback
    importance = feedback.diagonal
    working = AlignedBuffer(count: layout.paddedColumns)
    errors = AlignedBuffer(count: FeedbackFactor.block)
    codes = AlignedBuffer(count: layout.encoding.group)
  }

  /// Packs the tile `x`, `[paddedColumns]` vectors, with row scales that are given; returns
  /// `Σ (x − ŵ)²`.
  mutating func pack(
    _ x: UnsafePointer<Lanes>,
    rowScale: Lanes,
    codes output: UnsafeMutableRawBufferPointer,
    scales: UnsafeMutableRawBufferPointer
  ) -> Double {
    let group = layout.encoding.group
    for k in 0..<layout.paddedColumns { working[k] = x[k] }
    var total = 0.0
    for index in 0..<layout.groups {
      let first = index &* group
      let count = max(1, min(group, layout.columns - first))
      let scale = scale(ofGroup: first, count: count)
      let share = TileQuantizer.integerScales(scale, rowScale)
      for lane in 0..<16 {
        scales[first / group &* 16 &+ lane] = UInt8(bitPattern: Int8(share[lane]))
      }
      var error = Lanes()
      for start in stride(from: first, to: first + group, by: FeedbackFactor.block) {
        error += round(x, block: start / FeedbackFactor.block, scale: rowScale * share, in: first)
      }
      for lane in 0..<16 { total += Double(error[lane]) }
      store(group, into: output, at: first &* 8)
    }
    return total
  }

  /// The best scale for the group that begins at column `first`, as its weights are by now.
  private func scale(ofGroup first: Int, count: Int) -> Lanes {
    let group = layout.encoding.group
    let x = UnsafeBufferPointer(start: UnsafePointer(working.baseAddress) + first, count: group)
    var scale = Lanes()
    importance.withUnsafeBufferPointer { importance in
      let weights = UnsafeBufferPointer(
        rebasing: importance[min(first, importance.count - 1)...].prefix(count)
      )
      withUnsafeMutablePointer(to: &scale) {
        let scales = UnsafeMutableBufferPointer(start: $0, count: 1)
        search.rounding.findScales(of: x, columns: count, importance: weights, into: scales)
      }
    }
    return scale
  }

  /// Rounds the 16 columns of a block and passes on what they lose; returns `Σ (x − ŵ)²`.
  private mutating func round(
    _ x: UnsafePointer<Lanes>,
    block: Int,
    scale: Lanes,
    in group: Int
  ) -> Lanes {
    let first = block &* FeedbackFactor.block
    let count = max(0, min(FeedbackFactor.block, layout.columns - first))
    let columns = layout.columns
    let inverse = TileQuantizer.inverse(scale)
    let twice = inverse + inverse
    let shift = Lanes(repeating: -0.5)
    let rounding = Lanes(repeating: CodebookRounding.origin)
    let limit = Lanes(repeating: Float(CodebookTable.cells / 2 - 2))
    let table = search.table
    let errors = self.errors.baseAddress
    let working = self.working.baseAddress
    let codes = self.codes.baseAddress + (first - group)
    for c in 0..<FeedbackFactor.block {
      errors[c] = Lanes()
      codes[c] = SIMD16()
    }
    guard count > 0 else { return Lanes() }
    return feedback.withBlock(block) { factors in
      table.values.withUnsafeBufferPointer { valueBuffer in
        table.codes.withUnsafeBufferPointer { codeBuffer in
          guard let values = valueBuffer.baseAddress, let codeOf = codeBuffer.baseAddress else {
            return Lanes()
          }
          var total = Lanes()
          for c in 0..<count {
            var value = working[first &+ c]
            for i in 0..<c { value += errors[i] * factors[c &* FeedbackFactor.block &+ i] }
            // What has been passed on may lie beyond the cells of the table.
            let cell = pointwiseMax(pointwiseMin(value * twice, limit), -limit)
            let position = (cell + shift) + rounding
            codes[c] = CodebookTable.lookUp(position, in: codeOf)
            let error = x[first &+ c] - CodebookTable.lookUp(position, in: values) * scale
            errors[c] = error
            total += error * error
          }
          for j in min(first &+ FeedbackFactor.block, columns)..<columns {
            let row = factors + (j &- first) &* FeedbackFactor.block
            var value = working[j]
            for i in 0..<FeedbackFactor.block { value += errors[i] * row[i] }
            working[j] = value
          }
          return total
        }
      }
    }
  }

  /// Writes the codes of a group in the order of the layout.
  private func store(_ group: Int, into output: UnsafeMutableRawBufferPointer, at offset: Int) {
    let codes = self.codes.baseAddress
    for line in 0..<(group / 8) {
      var word = SIMD16<UInt32>()
      for byte in 0..<4 {
        let k = line &* 8 &+ byte
        let pair = codes[k] | (codes[k &+ 4] &<< SIMD16(repeating: 4))
        word |= pair &<< SIMD16(repeating: UInt32(8 &* byte))
      }
      output.storeBytes(of: word, toByteOffset: offset &+ line &* 64, as: SIMD16<UInt32>.self)
    }
  }
}

// The façade of rounding to a codebook, for whoever packs weights: checks sizes once and calls the
// bodies on the caller's thread. Owns nothing but its constants.

import KernelCore

/// Rounds the groups of 16-row tiles to one codebook.
///
/// Results do not depend on the instruction set.
public struct CodebookRounding: Sendable {
  /// Sixteen lanes of float32: one element of each row of a tile.
  public typealias Vector = SIMD16<Float>

  /// Groups whose largest magnitude is below this become zero.
  public static let smallest = RoundingArguments.smallest
  /// Adding this to a float32 leaves its nearest integer in the low bits.
  public static let origin = CodebookPosition.origin

  private let kernels: KernelTable
  private let entries: [Float]
  private let firsts: [Float]
  private let targets: [Float]
  private let group: Int

  /// Rounding to one codebook, in groups of one size.
  ///
  /// - Parameters:
  ///   - isa: one of `ISA.available`.
  ///   - entries: the 16 values of the codebook, ascending.
  ///   - firstCells: `[16]`: the least cell of width one half, counted from zero, that is given entry i or a
  ///     later one; `nil` where none is.
  ///   - targets: values that the largest magnitude of a group is tried at, to find its scale.
  ///   - group: columns of a group, whole lines of codes.
  public init(
    isa: ISA = .best,
    entries: [Float],
    firstCells: [Int?],
    targets: [Float],
    group: Int
  ) {
    precondition(entries.count == 16 && firstCells.count == 16, "a codebook has 16 entries")
    precondition(group > 0 && group % 8 == 0, "a group is whole lines of codes")
    guard ISA.available.contains(isa), let kernels = isa.kernels else {
      preconditionFailure("no such instruction set here")
    }
    self.kernels = kernels
    self.entries = entries
    firsts = firstCells.map { $0.map { CodebookPosition.origin + Float($0) } ?? .infinity }
    self.targets = targets
    self.group = group
  }

  /// The best real scale of every row and group; 0 where a group is zero.
  ///
  /// - Parameters:
  ///   - x: `[groups · group]`, one lane a row.
  ///   - columns: how many of them count; those of padding follow.
  ///   - importance: what a squared error in each column weighs, `[columns]`, or `nil` for all the same.
  ///   - scales: `[groups]`, overwritten.
  public func findScales(
    of x: UnsafeBufferPointer<Vector>,
    columns: Int,
    importance: UnsafeBufferPointer<Float>? = nil,
    into scales: UnsafeMutableBufferPointer<Vector>
  ) {
    precondition(importance.map { $0.count >= max(columns, 1) } ?? true, "a weight each column")
    withArguments(x, columns, importance?.baseAddress, scales, codes: nil) {
      kernels.findScales($0, 0, scales.count)
    }
  }

  /// Writes the nearest codes for the scales given, and in place of each scale the squared error of its
  /// group over the columns that count.
  ///
  /// - Parameters:
  ///   - x: `[groups · group]`, one lane a row.
  ///   - columns: how many of them count; those of padding follow.
  ///   - scales: `[groups]`, of the groups; overwritten.
  ///   - codes: 8 bytes a column, arranged as `PackedLayout` says, overwritten.
  public func round(
    _ x: UnsafeBufferPointer<Vector>,
    columns: Int,
    scales: UnsafeMutableBufferPointer<Vector>,
    codes: UnsafeMutableRawBufferPointer
  ) {
    precondition(codes.count == x.count * 8, "codes of another size")
    withArguments(x, columns, nil, scales, codes: codes.baseAddress) {
      kernels.roundGroups($0, 0, scales.count)
    }
  }

  private func withArguments(
    _ x: UnsafeBufferPointer<Vector>,
    _ columns: Int,
    _ importance: UnsafePointer<Float>?,
    _ scales: UnsafeMutableBufferPointer<Vector>,
    codes: UnsafeMutableRawPointer?,
    _ body: (RoundingArguments) -> Void
  ) {
    precondition(x.count == scales.count * group, "groups of another size")
    precondition(columns <= x.count, "more columns than there are")
    guard let values = UnsafeRawPointer(x.baseAddress),
      let results = UnsafeMutableRawPointer(scales.baseAddress)
    else { return }
    entries.withUnsafeBufferPointer { entries in
      firsts.withUnsafeBufferPointer { firsts in
        targets.withUnsafeBufferPointer { targets in
          guard let entry = entries.baseAddress, let first = firsts.baseAddress,
            let target = targets.baseAddress
          else { return }
          body(
            RoundingArguments(
              x: values.assumingMemoryBound(to: Float.self),
              group: group,
              columns: columns,
              importance: importance,
              entries: entry,
              firsts: first,
              targets: target,
              targetCount: targets.count,
              scales: results.assumingMemoryBound(to: Float.self),
              codes: codes
            )
          )
        }
      }
    }
  }
}

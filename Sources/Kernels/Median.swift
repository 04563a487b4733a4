// The middle of measurements that were repeated because the machine is not quiet.

extension Collection where Element == Double {
  /// The middle of the values in order, the greater of two; `nil` where there is none.
  package var median: Double? { isEmpty ? nil : sorted()[count / 2] }
}

// A bounds-checked little-endian cursor and its mirror image. Refuses to read past the end; never
// allocates from a count that it has not compared with the bytes that are left.

/// Reads little-endian values from bytes that came from outside.
struct ByteReader {
  /// What was wrong, and where.
  struct Failure: Error {
    let reason: String
  }

  private let bytes: [UInt8]
  /// Next byte to read.
  private(set) var position = 0

  /// A cursor at the first of `bytes`.
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Bytes not yet read.
  var remaining: Int { bytes.count - position }

  /// The next `count` bytes.
  mutating func take(_ count: Int) throws(Failure) -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else {
      throw Failure(reason: "ends early at byte \(position)")
    }
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  /// The next integer.
  mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
    _ type: Value.Type = Value.self
  ) throws(Failure) -> Value {
    var value: Value = 0
    for (index, byte) in try take(MemoryLayout<Value>.size).enumerated() {
      value |= Value(byte) << Value(8 * index)
    }
    return value
  }

  /// The next 64-bit integer, which must lie in `0...limit`.
  mutating func count(upTo limit: Int, _ what: String) throws(Failure) -> Int {
    let value: UInt64 = try integer()
    guard value <= UInt64(limit) else {
      throw Failure(reason: "\(what) is \(value), more than \(limit)")
    }
    return Int(value)
  }

  /// The next 32-bit count of items of at least `itemBytes` bytes each, all of which must still fit.
  mutating func itemCount(
    itemBytes: Int,
    upTo limit: Int,
    _ what: String
  ) throws(Failure) -> Int {
    let value = Int(try integer(UInt32.self))
    guard value <= limit else { throw Failure(reason: "\(what) is \(value), more than \(limit)") }
    guard value <= remaining / itemBytes else {
      throw Failure(reason: "\(what) is \(value), more than the bytes that are left can hold")
    }
    return value
  }

  /// The next float64.
  mutating func double() throws(Failure) -> Double {
    Double(bitPattern: try integer())
  }

  /// The next text: 16-bit length and UTF-8.
  mutating func string() throws(Failure) -> String {
    let count = Int(try integer(UInt16.self))
    guard let text = String(validating: try take(count), as: UTF8.self) else {
      throw Failure(reason: "text before byte \(position) is not UTF-8")
    }
    return text
  }
}

/// Builds little-endian bytes that `ByteReader` reads.
struct ByteWriter {
  /// What was written.
  private(set) var bytes: [UInt8] = []

  /// Appends bytes.
  mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

  /// Appends an integer.
  mutating func append<Value: FixedWidthInteger & UnsignedInteger>(integer value: Value) {
    for index in 0..<MemoryLayout<Value>.size {
      bytes.append(UInt8(truncatingIfNeeded: value >> Value(8 * index)))
    }
  }

  /// Appends a float64.
  mutating func append(_ value: Double) { append(integer: value.bitPattern) }

  /// Appends a text of fewer than 65,536 bytes.
  mutating func append(_ text: String) {
    precondition(text.utf8.count <= Int(UInt16.max), "text too long for the format")
    append(integer: UInt16(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }
}

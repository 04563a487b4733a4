// A cursor over protobuf wire format: varints, fixed32, length-delimited fields. Every length is
// compared with what is left before it is used. Groups and unknown wire types are refused.

/// Reads the fields of one protobuf message.
struct ProtobufReader {
  /// How a field's value is laid out.
  enum WireType: UInt64 {
    case varint = 0
    case fixed64 = 1
    case delimited = 2
    case fixed32 = 5
  }

  private let bytes: [UInt8]
  private let file: String
  private let end: Int
  private var position: Int

  /// Reads the message that occupies all of `bytes`.
  init(_ bytes: [UInt8], file: String) {
    self.init(bytes, range: bytes.indices, file: file)
  }

  /// Reads the message at `range`.
  init(_ bytes: [UInt8], range: Range<Int>, file: String) {
    self.bytes = bytes
    self.file = file
    position = range.lowerBound
    end = range.upperBound
  }

  /// The number and layout of the next field, or `nil` at the end of the message.
  mutating func nextField() throws(TokenizerError) -> (number: UInt64, type: WireType)? {
    guard position < end else { return nil }
    let start = position
    let tag = try varint()
    guard let type = WireType(rawValue: tag & 7) else {
      throw failure("unknown wire type \(tag & 7)", at: start)
    }
    guard tag >> 3 != 0, tag >> 3 < 1 << 29 else {
      throw failure("field number \(tag >> 3)", at: start)
    }
    return (tag >> 3, type)
  }

  /// An unsigned integer of up to 64 bits, seven to a byte, least significant first.
  mutating func varint() throws(TokenizerError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard position < end else { throw failure("integer cut short", at: start) }
      let byte = UInt64(bytes[position])
      position += 1
      guard shift < 63 || byte <= 1 else { throw failure("integer over 64 bits", at: start) }
      value |= (byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw failure("integer over 64 bits", at: start)
  }

  /// A little-endian 32-bit float.
  mutating func float() throws(TokenizerError) -> Float {
    guard end - position >= 4 else { throw failure("float cut short", at: position) }
    var bits: UInt32 = 0
    for index in 0..<4 { bits |= UInt32(bytes[position + index]) << UInt32(8 * index) }
    position += 4
    return Float(bitPattern: bits)
  }

  /// Where the contents of a length-delimited field lie.
  mutating func delimited() throws(TokenizerError) -> Range<Int> {
    let start = position
    let length = try varint()
    guard length <= UInt64(end - position) else {
      throw failure("field of \(length) bytes where \(end - position) are left", at: start)
    }
    defer { position += Int(length) }
    return position..<(position + Int(length))
  }

  /// Passes over a value that is not needed.
  mutating func skip(_ type: WireType) throws(TokenizerError) {
    switch type {
    case .varint: _ = try varint()
    case .delimited: _ = try delimited()
    case .fixed32: _ = try float()
    case .fixed64:
      guard end - position >= 8 else { throw failure("number cut short", at: position) }
      position += 8
    }
  }

  /// Refuses a field that has another layout than the format gives it.
  func require(_ type: WireType, _ expected: WireType, field: String) throws(TokenizerError) {
    guard type == expected else { throw failure("wrong wire type for \(field)", at: position) }
  }

  private func failure(_ reason: String, at offset: Int) -> TokenizerError {
    .malformed(file: file, offset: offset, reason: reason)
  }
}

// Elements of a checkpoint tensor as float32: bf16 and f16 widen exactly, f64 rounds.
// Refuses integer and boolean tensors: none of them is a weight.

import Tensors

/// Reads runs of elements of a checkpoint as float32.
public enum FloatDecoding {
  /// Whether elements of `type` can be read as float32.
  public static func isSupported(_ type: DType) -> Bool {
    switch type {
    case .bfloat16, .float16, .float32, .float64: true
    case .bool, .uint8, .int8, .int16, .int32, .int64: false
    }
  }

  /// Decodes `output.count` little-endian elements of `type` from the start of `source`.
  ///
  /// - Precondition: `source` holds that many elements and `type` is supported.
  public static func decode(
    _ source: UnsafeRawBufferPointer,
    as type: DType,
    into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(isSupported(type), "not a floating-point type")
    precondition(source.count / type.byteWidth >= output.count, "source is too short")
    switch type {
    case .bfloat16:
      for index in output.indices {
        let bits = source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)
        output[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
      }
    case .float16:
      for index in output.indices {
        let bits = source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)
        output[index] = widen(half: UInt16(littleEndian: bits))
      }
    case .float32:
      for index in output.indices {
        let bits = source.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self)
        output[index] = Float(bitPattern: UInt32(littleEndian: bits))
      }
    default:
      for index in output.indices {
        let bits = source.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self)
        output[index] = Float(Double(bitPattern: UInt64(littleEndian: bits)))
      }
    }
  }

  /// An IEEE binary16 value as float32, exactly, without needing hardware for it.
  static func widen(half: UInt16) -> Float {
    let sign = UInt32(half & 0x8000) << 16
    let magnitude = UInt32(half & 0x7fff)
    if magnitude >= 0x7c00 {
      return Float(bitPattern: sign | 0x7f80_0000 | (magnitude & 0x3ff) << 13)
    }
    // Scaling by 2^112 moves the exponent bias from 15 to 127, subnormals included.
    let scaled = Float(bitPattern: magnitude << 13) * Float(bitPattern: 0x7780_0000)
    return Float(bitPattern: sign | scaled.bitPattern)
  }
}

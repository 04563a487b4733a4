// Targets of the WeightFiles room.

import Tensors
import WeightFiles

extension FuzzTarget {
  /// The files that targets write.
  static let fileNames = [
    "x.safetensors", "x.idfx", "model.safetensors.index.json", "a.safetensors", "b.safetensors",
  ]

  static func openSafetensors(_ bytes: [UInt8], _ scratch: ScratchFolder) -> Bool {
    let path = scratch.write(bytes, to: "x.safetensors")
    do throws(WeightFileError) {
      let file = try Safetensors(path: path)
      for tensor in file.tensors.prefix(8) {
        precondition(tensor.offset >= 8 && tensor.byteCount <= bytes.count - tensor.offset)
        let data = try file.file.bytes(at: tensor.offset, count: tensor.byteCount)
        guard FloatDecoding.isSupported(tensor.dtype) else { continue }
        var values = [Float](repeating: 0, count: tensor.shape.count)
        data.withUnsafeBytes { data in
          values.withUnsafeMutableBufferPointer {
            FloatDecoding.decode(data, as: tensor.dtype, into: $0)
          }
        }
      }
      return true
    } catch {
      return false
    }
  }

  static func openIndex(_ bytes: [UInt8], _ scratch: ScratchFolder) -> Bool {
    for name in ["a", "b"] {
      let header = Array(
        "{\"\(name)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}".utf8
      )
      _ = scratch.write(
        [UInt8(header.count), 0, 0, 0, 0, 0, 0, 0] + header + [7],
        to: name + ".safetensors"
      )
    }
    _ = scratch.write(bytes, to: "model.safetensors.index.json")
    do throws(WeightFileError) {
      let folder = try CheckpointFolder(path: scratch.path)
      for tensor in folder.tensors {
        let file = try folder.file(of: tensor)
        precondition(file.path.hasPrefix(scratch.path + "/"), "a shard outside of the folder")
      }
      return true
    } catch {
      return false
    }
  }

  static func openIdfx(_ bytes: [UInt8], _ scratch: ScratchFolder) -> Bool {
    guard let kind = bytes.first else { return false }
    let file = kind & 1 == 0 ? Array(bytes.dropFirst()) : sealed(bytes.dropFirst())
    let path = scratch.write(file, to: "x.idfx")
    do throws(WeightFileError) {
      for access in [IdfxAccess.mapped, .copied] {
        let file = try IdfxFile.open(path, access: access)
        _ = try file.verify()
        for name in file.metadata.files { _ = try file.embeddedFile(name) }
        for tensor in file.tensors {
          if case .dense = tensor.storage {
            let dense = try file.dense(tensor.name)
            precondition(dense.values.count == tensor.shape.count)
          } else {
            let matrix = try file.packed(tensor.name)
            _ = matrix.value(row: matrix.rows - 1, column: matrix.columns - 1)
          }
        }
      }
      return true
    } catch {
      return false
    }
  }

  /// A whole file of `parts`: two bytes for the size of the blocks, the blocks, the directory.
  ///
  /// Header and footer are as they should be.
  private static func sealed(_ parts: ArraySlice<UInt8>) -> [UInt8] {
    let size = parts.prefix(2).reversed().reduce(0) { $0 << 8 | Int($1) }
    var file: [UInt8] = [0x89, 0x49, 0x44, 0x46, 0x58, 0x0d, 0x0a, 0x1a, 1]
    file += [UInt8](repeating: 0, count: 64 - file.count)
    file += parts.dropFirst(2).prefix(size)
    while file.count % IdfxFormat.alignment != 0 { file.append(0) }
    let directory = Array(parts.dropFirst(2 + size))
    var footer: [UInt8] = []
    func append(_ value: UInt64) {
      for shift in stride(from: 0, to: 64, by: 8) {
        footer.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
      }
    }
    append(UInt64(file.count))
    append(UInt64(directory.count))
    append(XXHash64.hash(directory))
    append(UInt64(file.count + directory.count + 64))
    footer += [1] + [UInt8](repeating: 0, count: 15)
    append(XXHash64.hash(footer))
    return file + directory + footer + Array("IDFXEND\n".utf8)
  }

  static func decodeBlock(_ bytes: [UInt8]) -> Bool {
    let size = bytes.prefix(3).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard size <= IdfxFormat.maximumBlockBytes else { return false }
    let codec = ZstdCodec()
    var output = [UInt8](repeating: 0, count: size)
    return bytes.dropFirst(3).withUnsafeBytes { frame in
      output.withUnsafeMutableBytes { output in
        do throws(ZstdCodec.Failure) {
          try codec.decompress(frame, into: output)
          return true
        } catch {
          return false
        }
      }
    }
  }
}

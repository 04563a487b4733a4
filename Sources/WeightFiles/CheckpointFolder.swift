// A Hugging Face checkpoint folder: `model.safetensors`, or `model.safetensors.index.json` and its
// shards, presented as one set of tensors. Refuses shards outside the folder (by path or by symbolic
// link), a tensor in two shards, and an index that disagrees with what the shards hold.

import Glibc
import JSONText
import Tensors

/// The tensors and companion files of a checkpoint.
public final class CheckpointFolder: Sendable {
  /// Largest tokenizer that is read.
  private static let maximumTokenizerBytes = 64 << 20
  /// Largest other companion file, or index of shards, that is read: published ones have up to 0.1 MB.
  public static let maximumCompanionBytes = 1 << 20

  /// Path as given.
  public let path: String
  /// The safetensors files, sorted by name.
  public let shards: [Safetensors]
  /// Every tensor, sorted by name.
  public let tensors: [CheckpointTensor]
  private let shardOfTensor: [String: (shard: Int, tensor: CheckpointTensor)]

  /// Opens the folder and validates the header of every shard.
  public init(path: String) throws(WeightFileError) {
    self.path = path
    let single = path + "/model.safetensors"
    let index = path + "/model.safetensors.index.json"
    var status = stat()
    guard stat(path, &status) == 0 else { throw .notFound(path: path) }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw .malformed(path: path, reason: "is not a checkpoint folder")
    }
    let names: [String]
    var expected: [String: String]?
    if access(single, F_OK) == 0 {
      names = ["model.safetensors"]
    } else if access(index, F_OK) == 0 {
      let map = try Self.weightMap(index)
      names = Set(map.values).sorted()
      expected = map
    } else {
      throw .malformed(
        path: path,
        reason: "holds neither model.safetensors nor model.safetensors.index.json"
      )
    }

    var shards: [Safetensors] = []
    var found: [String: (shard: Int, tensor: CheckpointTensor)] = [:]
    for (position, name) in names.enumerated() {
      let file = path + "/" + name
      try Self.checkContained(file, in: path)
      let shard = try Safetensors(path: file)
      for tensor in shard.tensors {
        guard found.updateValue((position, tensor), forKey: tensor.name) == nil else {
          throw .badTensor(path: file, tensor: tensor.name, reason: "is also in another shard")
        }
        if let expected, expected[tensor.name] != name {
          throw .badTensor(
            path: file,
            tensor: tensor.name,
            reason: "is not where model.safetensors.index.json says"
          )
        }
      }
      shards.append(shard)
    }
    for (tensor, name) in expected ?? [:] where found[tensor] == nil {
      throw .noSuchTensor(path: path + "/" + name, tensor: tensor)
    }
    self.shards = shards
    shardOfTensor = found
    tensors = found.values.map(\.tensor).sorted { $0.name < $1.name }
  }

  /// The tensor called `name`, or `nil`.
  public func tensor(named name: String) -> CheckpointTensor? { shardOfTensor[name]?.tensor }

  /// The file that holds `tensor`.
  public func file(of tensor: CheckpointTensor) throws(WeightFileError) -> InputFile {
    guard let place = shardOfTensor[tensor.name], place.tensor == tensor else {
      throw .noSuchTensor(path: path, tensor: tensor.name)
    }
    return shards[place.shard].file
  }

  /// A small file beside the weights, such as `config.json`; `nil` when there is none.
  public func companion(_ name: String) throws(WeightFileError) -> [UInt8]? {
    let file = path + "/" + name
    guard access(file, F_OK) == 0 else { return nil }
    try Self.checkContained(file, in: path)
    return try InputFile.contents(of: file, limit: Self.limit(ofCompanion: name))
  }

  /// Most bytes that a companion file of this name may have, here or within an `.idfx` file.
  static func limit(ofCompanion name: String) -> Int {
    ["tokenizer.json", "tokenizer.model"].contains(name)
      ? maximumTokenizerBytes : maximumCompanionBytes
  }

  private static func weightMap(_ index: String) throws(WeightFileError) -> [String: String] {
    let bytes = try InputFile.contents(of: index, limit: maximumCompanionBytes)
    let value: JSONValue
    do {
      value = try JSONValue(parsing: bytes)
    } catch {
      throw .malformed(path: index, reason: "is not valid JSON: \(error)")
    }
    guard let members = value["weight_map"]?.object, !members.isEmpty else {
      throw .malformed(path: index, reason: "has no weight_map")
    }
    var map: [String: String] = [:]
    for (tensor, file) in members {
      guard let name = file.string, isPlainName(name), name.hasSuffix(".safetensors") else {
        throw .badTensor(
          path: index,
          tensor: tensor,
          reason: "is said to be in \(WeightFileError.quoted(file.string ?? "")),"
            + " which is no safetensors file of this folder"
        )
      }
      map[tensor] = name
    }
    return map
  }

  /// Whether `name` is the name of a file in this very folder: no separators, no dots alone, no NUL.
  static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 255 && name != "." && name != ".."
      && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 || $0 == 0x7f }
  }

  /// Throws when symbolic links lead out of the folder.
  ///
  /// The cache of the Hugging Face hub keeps `snapshots/REVISION/NAME` as links into `blobs` beside
  /// `snapshots`; those, and only those, may be followed.
  private static func checkContained(
    _ file: String,
    in folder: String
  ) throws(WeightFileError) {
    guard let root = resolved(folder) else { throw .cannotRead(path: folder, code: errno) }
    guard let target = resolved(file) else {
      let code = errno
      throw code == ENOENT ? .notFound(path: file) : .cannotRead(path: file, code: code)
    }
    if target.hasPrefix(root == "/" ? root : root + "/") { return }
    var parts = root.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count >= 3, parts[parts.count - 2] == "snapshots" {
      parts.removeLast(2)
      if target.hasPrefix(parts.joined(separator: "/") + "/blobs/") { return }
    }
    throw .malformed(path: file, reason: "is a symbolic link that leads out of the folder")
  }

  private static func resolved(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }
}

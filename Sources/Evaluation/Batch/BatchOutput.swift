// The answers of a batch as they come, one JSON line each, under another name until all are there.

import Foundation

/// The output of a batch, open for writing.
public final class BatchOutput {
  private let path: String
  private let handle: FileHandle
  /// Rows that have a line.
  public private(set) var done: Set<String> = []
  /// Lines that report a failure.
  public private(set) var failures = 0

  /// Where answers stand until the batch is complete.
  public static func partial(_ path: String) -> String { path + ".partial" }

  /// Starts an output, or goes on with an interrupted one.
  ///
  /// - Throws: If there is an output already, or an interrupted one that is not to be resumed.
  public init(path: String, resumes: Bool, replaces: Bool) throws(EvaluationError) {
    self.path = path
    let partial = Self.partial(path)
    if FileManager.default.fileExists(atPath: path), !replaces {
      throw .alreadyExists(path: path, advice: "remove it, or replace it with --force")
    }
    var end = 0
    var done: Set<String> = []
    var failures = 0
    if FileManager.default.fileExists(atPath: partial) {
      guard resumes || replaces else {
        throw .alreadyExists(
          path: partial,
          advice: "go on with --resume, or start anew with --force"
        )
      }
      if resumes {
        var reader = try LineReader(partial)
        while let (bytes, number) = try reader.next(), reader.endedWithLineBreak {
          let answer = try JSONRow.decode(
            BatchAnswer.self,
            Data(bytes),
            path: partial,
            line: number
          )
          done.insert(answer.id)
          failures += answer.error == nil ? 0 : 1
          end = reader.offset
        }
      }
    }
    self.done = done
    self.failures = failures
    do {
      if end == 0 { try Data().write(to: URL(filePath: partial)) }
      handle = try FileHandle(forUpdating: URL(filePath: partial))
      try handle.truncate(atOffset: UInt64(end))
      try handle.seekToEnd()
    } catch {
      throw .unwritable(path: partial)
    }
  }

  /// Adds an answer; it is in the file when this returns.
  public func append(_ answer: BatchAnswer) throws(EvaluationError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf",
      negativeInfinity: "-inf",
      nan: "nan"
    )
    do {
      let line = try encoder.encode(answer) + Data([UInt8(ascii: "\n")])
      try handle.write(contentsOf: line)
    } catch {
      throw .unwritable(path: Self.partial(path))
    }
    done.insert(answer.id)
    if answer.error != nil { failures += 1 }
  }

  /// Gives the complete file its name.
  public func finish() throws(EvaluationError) {
    do {
      try handle.synchronize()
      try handle.close()
    } catch {
      throw .unwritable(path: path)
    }
    try AtomicFile.rename(Self.partial(path), to: path)
  }
}

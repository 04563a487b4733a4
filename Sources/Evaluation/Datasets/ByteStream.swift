// A file as a stream of bytes with its line numbers: data sets are larger than what should be in memory.

import Foundation

/// Reads a file byte by byte through a buffer.
struct ByteStream {
  let path: String
  /// Line of the next byte, from 1.
  private(set) var line = 1
  /// Place of the next byte in the file.
  private(set) var offset = 0
  private let handle: FileHandle
  private var buffer: [UInt8] = []
  private var index = 0

  init(_ path: String) throws(EvaluationError) {
    self.path = path
    guard FileManager.default.fileExists(atPath: path) else { throw .noSuchFile(path: path) }
    do {
      handle = try FileHandle(forReadingFrom: URL(filePath: path))
    } catch {
      throw .unreadable(path: path)
    }
  }

  /// The next byte, not consumed; `nil` at the end.
  mutating func peek() throws(EvaluationError) -> UInt8? {
    if index == buffer.count {
      do {
        buffer = try handle.read(upToCount: 1 << 18).map(Array.init) ?? []
      } catch {
        throw .unreadable(path: path)
      }
      index = 0
      if buffer.isEmpty { return nil }
    }
    return buffer[index]
  }

  /// The next byte; `nil` at the end.
  mutating func next() throws(EvaluationError) -> UInt8? {
    guard let byte = try peek() else { return nil }
    index += 1
    offset += 1
    if byte == UInt8(ascii: "\n") { line += 1 }
    return byte
  }

  /// What is wrong at the present line.
  func failure(_ reason: String) -> EvaluationError {
    .invalidData(path: path, line: line, reason: reason)
  }
}

/// The lines of a file, one at a time.
struct LineReader {
  /// Longest line taken, in bytes.
  static let limit = 64 << 20

  private var stream: ByteStream

  /// Whether the last line returned ended with a line break.
  private(set) var endedWithLineBreak = false

  init(_ path: String) throws(EvaluationError) { stream = try ByteStream(path) }

  /// Place in the file after the last line returned.
  var offset: Int { stream.offset }

  /// The next line without its end, and its number; `nil` at the end of the file.
  mutating func next() throws(EvaluationError) -> (bytes: [UInt8], number: Int)? {
    guard try stream.peek() != nil else { return nil }
    let number = stream.line
    var bytes: [UInt8] = []
    endedWithLineBreak = false
    while let byte = try stream.next() {
      if byte == UInt8(ascii: "\n") {
        endedWithLineBreak = true
        break
      }
      guard bytes.count < Self.limit else {
        throw .invalidData(path: stream.path, line: number, reason: "the line is too long")
      }
      bytes.append(byte)
    }
    if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
    return (bytes, number)
  }
}

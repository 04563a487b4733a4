// A file of requests through one engine: rows are read as places become free, answers are written as they come. A row
// that fails gets a line that says why; a file that cannot be read ends the batch.

import Foundation
import Idefix

/// Answers the rows of a batch file.
public struct BatchRun: Sendable {
  /// Path of the rows, JSON lines.
  public var input: String
  /// Options of rows that have none of their own.
  public var sampling: SamplingOptions
  /// Put before every row's prompt.
  public var prefix: Prompt?
  /// Whether special tokens in the text of raw prompts are tokens.
  public var parsesSpecialTokens = false
  /// Rows in flight.
  public var inFlight: Int
  /// Loads what an image reference names.
  public var image: @Sendable (String) async throws -> ImageInput
  /// Told how many of all rows are done.
  public var progress: @Sendable (_ done: Int, _ total: Int) -> Void

  /// A batch.
  public init(
    input: String,
    sampling: SamplingOptions,
    inFlight: Int,
    image: @escaping @Sendable (String) async throws -> ImageInput,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) {
    self.input = input
    self.sampling = sampling
    self.inFlight = max(1, inFlight)
    self.image = image
    self.progress = progress
  }

  /// Answers every row that the output does not have yet, and finishes the output.
  public func run(on engine: Engine, output: BatchOutput) async throws {
    let total = try checkedRows()
    var done = 0
    var reader = try LineReader(input)
    try await withThrowingTaskGroup(of: BatchAnswer.self) { group in
      /// Starts the next open row; false at the end of the file.
      func start() throws -> Bool {
        while let (bytes, number) = try reader.next() {
          if Self.isBlank(bytes) { continue }
          if output.done.contains(try rowID(bytes, number)) {
            done += 1
            continue
          }
          group.addTask { try await answer(bytes, line: number, engine: engine) }
          return true
        }
        return false
      }
      // A shared prefix is computed once: the first row alone, then all others find it in the cache.
      for _ in 0..<(prefix == nil ? inFlight : 1) where try !start() { break }
      progress(done, total)
      var isFilled = prefix == nil
      while let answer = try await group.next() {
        try output.append(answer)
        done += 1
        for _ in 0..<(isFilled ? 1 : inFlight) where try !start() { break }
        isFilled = true
        progress(done, total)
      }
    }
    try output.finish()
  }

  private func answer(
    _ bytes: [UInt8],
    line: Int,
    engine: Engine
  ) async throws -> BatchAnswer {
    let id = try rowID(bytes, line)
    do {
      var row = try await BatchRow(
        json: bytes,
        line: line,
        path: input,
        sampling: sampling,
        prefix: prefix,
        image: image
      )
      row.request.prompt.parsesSpecialTokens = parsesSpecialTokens
      for try await event in engine.generate(row.request) {
        if case .finished(let result) = event {
          let reports = row.request.sampling.logprobs != nil
          return BatchAnswer(id: id, result: result, reportsLogprobs: reports)
        }
      }
      throw EngineError.internalFailure(reason: "a request ended without a result")
    } catch let error as CancellationError {
      throw error
    } catch let error as EngineError where error.endsBatch {
      throw error
    } catch {
      return BatchAnswer(id: id, error: "\(error)")
    }
  }

  /// Checks that every row has an identifier of its own; returns how many there are.
  private func checkedRows() throws(EvaluationError) -> Int {
    var reader = try LineReader(input)
    var ids: Set<String> = []
    while let (bytes, number) = try reader.next() {
      if Self.isBlank(bytes) { continue }
      let id = try rowID(bytes, number)
      guard ids.insert(id).inserted else {
        throw .invalidData(path: input, line: number, reason: "the id \(id) occurs twice")
      }
    }
    return ids.count
  }

  private func rowID(_ bytes: [UInt8], _ line: Int) throws(EvaluationError) -> String {
    struct Row: Decodable { var id: FlexibleID? }
    let row = try JSONRow.decode(Row.self, Data(bytes), path: input, line: line)
    return row.id?.text ?? String(line)
  }

  private static func isBlank(_ bytes: [UInt8]) -> Bool {
    bytes.allSatisfy { $0 == 0x20 || $0 == 0x09 }
  }
}

extension EngineError {
  /// Whether no other row can be answered either.
  fileprivate var endsBatch: Bool {
    switch category {
    case .inputOutput, .unavailable, .failure: true
    case .request, .data, .missing, .overloaded: false
    }
  }
}

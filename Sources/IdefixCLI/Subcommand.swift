// What every subcommand does the same way: run, and turn an error into one line and an exit code.

import ArgumentParser
import Conversion
import Evaluation
import Glibc
import IdeficsModel
import Idefix
import Images
import Kernels
import Tokenizers
import WeightFiles

/// Exit codes of the command, as in sysexits.h.
enum ExitStatus: Int32 {
  /// Wrong use of the command line.
  case usage = 64
  /// Bad data in a file.
  case data = 65
  /// No such input.
  case noInput = 66
  /// A service cannot be provided: port taken, shut down.
  case unavailable = 69
  /// A defect of the program.
  case software = 70
  /// Reading or writing failed: disk full.
  case inputOutput = 74
  /// Ctrl-C.
  case interrupted = 130
}

/// A failure that a command found itself.
struct CommandFailure: Error, CustomStringConvertible {
  let status: ExitStatus
  let description: String

  init(_ status: ExitStatus, _ description: String) {
    self.status = status
    self.description = description
  }
}

/// A command whose `execute` may throw any error of the rooms below.
protocol Subcommand: AsyncParsableCommand {
  /// Does the work.
  func execute() async throws
}

extension Subcommand {
  /// Runs the command; an error becomes one line on stderr and an exit code.
  func run() async throws {
    MissingPageGuard.install()
    do {
      try await execute()
    } catch let error as ExitCode {
      throw error
    } catch let error as ValidationError {
      throw error
    } catch {
      Terminal.writeError("error: \(error)\n")
      throw ExitCode(status(of: error).rawValue)
    }
  }
}

private func status(of error: any Error) -> ExitStatus {
  switch error {
  case let failure as CommandFailure: failure.status
  case let error as EngineError: status(of: error.category)
  case let error as WeightFileError: status(of: error.kind)
  case ConversionError.cancelled: .interrupted
  case ConversionError.exists: .usage
  case let error as ConversionError: error.kind.map(status(of:)) ?? .software
  case let error as EvaluationError: status(of: error.kind)
  case is ConfigurationError, is TokenizerError, is ImageError, is ModelError: .data
  case is KernelError: .usage
  case is CancellationError: .interrupted
  default: .software
  }
}

private func status(of category: EngineError.Category) -> ExitStatus {
  switch category {
  case .request: .usage
  case .data: .data
  case .inputOutput: .inputOutput
  case .missing: .noInput
  case .overloaded, .unavailable: .unavailable
  case .failure: .software
  }
}

private func status(of kind: WeightFileError.Kind) -> ExitStatus {
  switch kind {
  case .noInput: .noInput
  case .badData: .data
  case .inputOutput: .inputOutput
  }
}

private func status(of kind: EvaluationError.Kind) -> ExitStatus {
  switch kind {
  case .usage: .usage
  case .badData: .data
  case .noInput: .noInput
  case .inputOutput: .inputOutput
  }
}

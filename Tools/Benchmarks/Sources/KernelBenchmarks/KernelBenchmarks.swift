// `kernel-benchmarks`: the speed of every kernel as a share of what the machine can do, measured in the
// same second, and whether it falls below the thresholds that are checked in.

import Foundation
import Kernels

/// What the command line asks for.
struct Options {
  var isas = ISA.available.filter { $0 != .portable }
  var threads = Array(Set([1, Processors.recommendedThreads])).sorted()
  var only: [String] = []
  var repeats = 7
  var thresholds: String?
  var printsJSON = false

  static let usage = """
    Usage: swift run -c release --package-path Tools/Benchmarks KernelBenchmarks [OPTIONS]
      --isa NAME         one instruction set (default: all of this machine but portable)
      --threads N        one number of threads (default: 1 and the physical cores)
      --only PREFIX      gemv, gemm, smooth, attention or vision; may be repeated
      --repeat N         repetitions, of which the median counts (default: 7)
      --check FILE       compare with thresholds; exit 1 when a measurement is below its floor
      --json             print one JSON object, name: share, of the measurements that can be relied on
    """

  init(_ arguments: [String]) throws(UsageError) {
    var rest = arguments[...]
    func value(of option: String) throws(UsageError) -> String {
      guard let value = rest.popFirst() else { throw UsageError("\(option) needs a value") }
      return value
    }
    while let option = rest.popFirst() {
      switch option {
      case "--isa":
        let name = try value(of: option)
        guard let isa = ISA(rawValue: name), ISA.available.contains(isa) else {
          throw UsageError("this machine has no \(name)")
        }
        isas = [isa]
      case "--threads": threads = [try Self.count(value(of: option), option)]
      case "--repeat": repeats = try Self.count(value(of: option), option)
      case "--only": only.append(try value(of: option))
      case "--check": thresholds = try value(of: option)
      case "--json": printsJSON = true
      default: throw UsageError("no option \(option)")
      }
    }
  }

  private static func count(_ text: String, _ option: String) throws(UsageError) -> Int {
    guard let number = Int(text), (1...1000).contains(number) else {
      throw UsageError("\(option) takes a number from 1 on")
    }
    return number
  }
}

/// A command line that means nothing.
struct UsageError: Error {
  let message: String

  init(_ message: String) { self.message = message }
}

@main enum KernelBenchmarks {
  static func main() throws {
    let options: Options
    do {
      options = try Options(Array(CommandLine.arguments.dropFirst()))
    } catch {
      FileHandle.standardError.write(Data("\(error.message)\n\(Options.usage)\n".utf8))
      exit(64)
    }
    let thresholds = try options.thresholds.map { try Thresholds(path: $0) }
    var shares: [String: Double] = [:]
    var failures = 0
    for isa in options.isas {
      for threads in options.threads {
        let suite = try KernelSuite(isa: isa, threads: threads, repeats: options.repeats)
        try suite.run(only: options.only) { name, measured in
          let verdict = thresholds?.verdict(name, measured) ?? .unknown
          if verdict == .belowFloor { failures += 1 }
          // What cannot be relied on is no number for a program.
          if measured.trust == .steady { shares[name] = measured.share }
          if !options.printsJSON { report(name, measured, verdict.text(thresholds?[name])) }
        }
      }
    }
    if options.printsJSON {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      print(String(decoding: try encoder.encode(shares), as: UTF8.self))
    }
    if failures > 0 { exit(1) }
  }

  private static func report(_ name: String, _ measured: Measured, _ verdict: String) {
    let doubt =
      switch measured.trust {
      case .steady: ""
      case .limitMoved: "  NOT TRUSTED: the limit moved"
      case .probeBeaten: "  NOT TRUSTED: faster than the probe"
      }
    let label = name.padding(toLength: 40, withPad: " ", startingAt: 0)
    // Written at once: a run takes minutes.
    FileHandle.standardOutput.write(
      Data((label + String(format: "%6.3f  ", measured.share) + verdict + doubt + "\n").utf8)
    )
  }
}

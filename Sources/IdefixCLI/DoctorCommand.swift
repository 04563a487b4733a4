// `idefix doctor`: what this machine offers, what Idefix makes of it, and whether the kernels agree.

import ArgumentParser
import Foundation
import Idefix
import Kernels
import WeightFiles

/// Reports on the machine.
struct DoctorCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Report CPU features, limits and whether all instruction sets agree.",
    discussion: """
      Runs the same prompt through the model on every instruction set this CPU has and compares
      the answers' log-probabilities bit by bit.

      Example: idefix doctor --json
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @Flag(help: "Print one JSON document instead of text.")
  var json = false

  func execute() async throws {
    let path = try? ModelPath.resolve(model)
    if let model, path == nil { _ = try ModelPath.resolve(model) }
    var report = try DoctorReport()
    if let path { report.conformance = try await conformance(path) }
    if json {
      try JSONOutput.write(report)
    } else {
      Terminal.write(report.text)
    }
    if report.conformance?.agrees == false { throw ExitCode(ExitStatus.software.rawValue) }
  }

  /// The log-probabilities of one prompt on every instruction set.
  private func conformance(_ path: String) async throws -> DoctorReport.Conformance {
    var reference: [UInt32]?
    var agrees = true
    let sets = ISA.available.map(\.rawValue)
    for isa in sets {
      var options = EngineOptions()
      options.isa = isa
      options.contextTokens = 64
      let engine = try await Engine.load(from: path, options: options)
      let request = ScoreRequest(prompt: .interleaved([.text("A picture of a cat and two dogs.")]))
      let bits = try await engine.score(request).map { ($0.logprob ?? 0).bitPattern }
      await engine.shutDown()
      if let reference, reference != bits { agrees = false }
      reference = reference ?? bits
    }
    return DoctorReport.Conformance(model: path, instructionSets: sets, agrees: agrees)
  }
}

/// What `doctor` found.
private struct DoctorReport: Encodable {
  struct Conformance: Encodable {
    let model: String
    let instructionSets: [String]
    let agrees: Bool
  }

  /// Weight memory that is asked for and touched to see what it lies on.
  private static let hugePageProbeBytes = 64 << 20

  let cpu: String
  let availableInstructionSets: [String]
  let chosenInstructionSet: String
  let threads: Int
  let physicalMemoryBytes: Int
  let memoryLimitBytes: Int?
  let transparentHugePages: String
  /// Of ``hugePageProbeBytes`` of weight memory, what lies on huge pages; `nil` where that is not told.
  let grantedHugePageBytes: Int?
  var conformance: Conformance?

  init() throws {
    let compute = try ComputeContext()
    cpu = Self.cpuName()
    availableInstructionSets = ISA.available.map(\.rawValue)
    chosenInstructionSet = compute.isa.rawValue
    threads = compute.threads
    physicalMemoryBytes = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    memoryLimitBytes = Self.firstLine("/sys/fs/cgroup/memory.max").flatMap(Int.init)
    transparentHugePages = Self.selected(
      Self.firstLine("/sys/kernel/mm/transparent_hugepage/enabled") ?? "unknown"
    )
    grantedHugePageBytes = WeightArena.grantedHugePageBytes(of: Self.hugePageProbeBytes)
  }

  var text: String {
    var lines = [
      "CPU                \(cpu)",
      "instruction sets   \(availableInstructionSets.joined(separator: ", ")); "
        + "\(chosenInstructionSet) is used",
      "threads            \(threads)",
      "memory             \(ByteCount(physicalMemoryBytes))"
        + (memoryLimitBytes.map { ", limited to \(ByteCount($0)) by the cgroup" } ?? ""),
      "huge pages         \(transparentHugePages)"
        + (grantedHugePageBytes.map {
          "; granted for \(ByteCount($0)) of \(ByteCount(Self.hugePageProbeBytes)) of weights"
        } ?? ""),
    ]
    if let conformance {
      lines.append(
        "conformance        "
          + (conformance.agrees
            ? "\(conformance.instructionSets.joined(separator: ", ")) give the same bits"
            : "INSTRUCTION SETS DISAGREE: please report this CPU")
      )
    } else {
      lines.append("conformance        not checked: no model found; name one")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func cpuName() -> String {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
      ?? "unknown"
  }

  private static func firstLine(_ path: String) -> String? {
    (try? String(contentsOfFile: path, encoding: .utf8))?
      .split(separator: "\n").first.map(String.init)
  }

  /// The bracketed word of `always [madvise] never`.
  private static func selected(_ line: String) -> String {
    line.split(separator: " ").first { $0.hasPrefix("[") }.map { String($0.dropFirst().dropLast()) }
      ?? line
  }
}

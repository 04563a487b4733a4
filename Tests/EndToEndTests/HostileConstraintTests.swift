import Foundation
import TestSupport
import Testing

/// Expressions and schemas that are meant to cost much: an answer or a refusal, within 100 ms of processor time and 32 MiB
/// beyond what the same command takes with an expression of one letter.
@Suite(.serialized) struct HostileConstraintTests {
  private static let expressions = [
    "(a*)*b", "((((a{1000}){1000}){10}))", "[a-z]{0,1000}[a-z]{0,1000}[a-z]{0,1000}",
    "(a|b|c|d)*(a|b){18}c(.*){30}", "(.*)*(.*)*x", ".*.*.*.*.*.*.*.*.*.*x", "(a?){500}a{500}",
    "(()*)*{1000}", "((a{0,100}){0,100}){0,100}", "(\u{e4}|[^a]|.){1000}", "+a", "(a", "a)",
    String(repeating: "(", count: 30_000) + String(repeating: ")", count: 30_000),
    String(repeating: "(a|", count: 60) + "a" + String(repeating: ")*", count: 60),
  ]

  private static let schemas: [String] = {
    let steps = (0..<40).map { index in
      let next = ##"{"$ref":"#/$defs/d\##(index + 1)"}"##
      return ##""d\##(index)":{"anyOf":[\##(next),\##(next)]}"##
    }
    let definitions = steps.joined(separator: ",")
    return [
      String(repeating: #"{"anyOf":["#, count: 10_000),
      ##"{"$ref":"#/$defs/d0","$defs":{\##(definitions),"d40":{"type":"null"}}}"##,
      ##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##,
      #"{"type":"string","maxLength":100000}"#,
      #"{"type":"array","maxItems":1000,"#
        + #""items":{"type":"array","items":{"type":"string"},"maxItems":1000}}"#,
    ]
  }()

  /// The cheaper of two runs, so that a first touch of something counts for nobody.
  private func run(_ arguments: [String], _ model: String) throws -> MeasuredRun {
    let command = ["run", model, "--max-tokens", "4", "Hello"] + arguments
    let runs = [try MeasuredRun.idefix(command), try MeasuredRun.idefix(command)]
    return runs[0].processorMilliseconds < runs[1].processorMilliseconds ? runs[0] : runs[1]
  }

  @Test func staysWithinItsBudget() throws {
    let folder = try TemporaryFolder()
    let model = folder("model.idfx")
    let made = try IdefixProcess.run(["convert", Fixture.url("models/micro").path, "-o", model])
    #expect(made.status == 0, "\(made.errors)")
    let plain = try run(["--regex", "a"], model)
    #expect(plain.status == 0, "\(plain.errors)")
    func check(_ name: String, _ arguments: [String]) throws {
      let hostile = try run(arguments, model)
      let isExpected = [0, 64, 65].contains(hostile.status)
      #expect(isExpected, "\(name): \(hostile.status), \(hostile.errors)")
      let milliseconds = hostile.processorMilliseconds - plain.processorMilliseconds
      #expect(milliseconds < 100, "\(name): \(milliseconds) ms")
      let bytes = hostile.peakBytes - plain.peakBytes
      #expect(bytes < 32 << 20, "\(name): \(bytes >> 20) MiB")
    }
    for expression in Self.expressions {
      try check(String(expression.prefix(40)), ["--regex=" + expression])
    }
    for schema in Self.schemas {
      let path = try folder.write(Array(schema.utf8), to: "schema.json")
      try check(String(schema.prefix(40)), ["--schema", path])
    }
  }
}

// What an answer must look like, and whether it is searched for with beams.

import ArgumentParser
import Idefix

/// The shape of an answer.
struct AnswerArguments: ParsableArguments {
  @Option(help: "The answer must be one of these, separated by commas.")
  var choices: String?

  @Option(help: "The answer must match this regular expression as a whole.")
  var regex: String?

  @Option(
    help: ArgumentHelp("The answer must be JSON of the schema in this file.", valueName: "path"),
    completion: .file(extensions: ["json"])
  )
  var schema: String?

  @Option(help: "Search with this many beams instead of sampling.")
  var beams: Int?

  @Option(parsing: .unconditional, help: "Exponent of the length that divides a beam's score.")
  var lengthPenalty = 1.0

  @Flag(help: "Do not draft tokens from the text itself: the same answer at another speed.")
  var noDrafts = false

  func validate() throws {
    guard [choices, regex, schema].compactMap(\.self).count <= 1 else {
      throw ValidationError("Give one of --choices, --regex and --schema.")
    }
  }

  /// Adds the arguments to a request.
  func apply(to request: inout GenerationRequest) throws {
    if let choices {
      request.constraint = .choices(choices.split(separator: ",").map(String.init))
    } else if let regex {
      request.constraint = .regex(regex)
    } else if let schema {
      request.constraint = .jsonSchema(try UserFile.text(schema))
    }
    request.speculates = !noDrafts
    if let beams { request.beams = BeamOptions(width: beams, lengthPenalty: lengthPenalty) }
  }
}

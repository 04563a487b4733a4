// The root of the command line: lists the subcommands, does nothing itself.

import ArgumentParser

/// The `idefix` command.
@main
struct IdefixCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "idefix",
    abstract: "Runs IDEFICS vision-language models in 4 bits on ordinary CPUs.",
    discussion: """
      With no model named, run, chat and serve use $IDEFIX_MODEL, else the demo model of the clone.

      Example: idefix run --image Models/samples/parrot.png "What is in this image?"
      """,
    version: "0.1.0",
    subcommands: [
      ConvertCommand.self,
      VerifyCommand.self,
      InspectCommand.self,
      ExportCommand.self,
      PlanCommand.self,
      RunCommand.self,
      ChatCommand.self,
      ScoreCommand.self,
      BenchCommand.self,
      EvalCommand.self,
      BatchCommand.self,
      ServeCommand.self,
      DoctorCommand.self,
    ]
  )
}

// Beginnings of prompts that are kept on disk: few-shot examples with their images, computed once.

import ArgumentParser
import Foundation
import Idefix

/// Which prefix packs to start from and to make.
struct PrefixArguments: ParsableArguments {
  @Option(
    name: .customLong("prefix-pack"),
    help: ArgumentHelp(
      "Start from a prompt's state that --save-prefix kept; may be repeated.",
      valueName: "pack"
    ),
    completion: .file()
  )
  var packs: [String] = []

  @Option(
    help: ArgumentHelp(
      "Keep the prompt's state in a file: with --prefix-pack, prompts that begin alike compute only "
        + "what differs.",
      valueName: "pack"
    ),
    completion: .file()
  )
  var savePrefix: String?

  /// Loads the packs into the cache, for requests of `tenants`.
  func load(into engine: Engine, tenants: [String] = [""]) async throws {
    for path in packs {
      for tenant in tenants {
        do {
          _ = try await engine.loadPrefix(from: path, tenant: tenant)
        } catch EngineError.invalidPrefixPack(let reason) {
          throw CommandFailure(.data, "\(path) is no prefix pack for this model: \(reason).")
        }
      }
    }
  }

  /// Computes the state of `prompt` and keeps it, if that was asked for.
  func save(_ prompt: Prompt, of engine: Engine, quiet: Bool) async throws {
    guard let savePrefix else { return }
    let saved = try await engine.savePrefix(prompt, to: savePrefix, tenant: "")
    guard !quiet else { return }
    Terminal.writeError(
      "\(savePrefix): \(saved.tokens) tokens and \(saved.images) images, \(ByteCount(saved.bytes))\n"
    )
  }

  /// As `save`, for a prompt from a file, which an error names.
  func save(_ prompt: NamedPrompt, of engine: Engine, quiet: Bool) async throws {
    do {
      try await save(prompt.prompt, of: engine, quiet: quiet)
    } catch {
      throw prompt.naming(error)
    }
  }
}

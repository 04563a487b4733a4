// A model file that is cut short while it is in use: the pages that are gone raise SIGBUS when a kernel reads them.
// The process cannot go on, but it ends with a sentence and an exit code like any other failed read.

import Glibc

/// Turns SIGBUS into an exit.
enum MissingPageGuard {
  private static let sentence: StaticString =
    "error: a file changed while it was in use: part of it is gone.\n"

  /// Takes over SIGBUS for the rest of the process.
  static func install() {
    signal(SIGBUS) { _ in
      // Only what is safe in a signal handler: no allocation, no lock.
      let sentence = MissingPageGuard.sentence
      _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
      _exit(ExitStatus.inputOutput.rawValue)
    }
  }
}

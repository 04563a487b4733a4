// Ctrl-C while something long runs: the work is asked to stop, and ends cleanly.

import Dispatch
import Glibc

/// Calls back on Ctrl-C for as long as it lives.
final class InterruptHandler {
  private let source: any DispatchSourceSignal

  init(_ action: @escaping @Sendable () -> Void) {
    signal(SIGINT, SIG_IGN)
    source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    source.setEventHandler(handler: action)
    source.resume()
  }

  func restore() {
    source.cancel()
    signal(SIGINT, SIG_DFL)
  }
}

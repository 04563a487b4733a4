// Ctrl-C while something long runs: the work is asked to stop, and ends cleanly.

import Dispatch
import Glibc
import Synchronization

/// Calls back on Ctrl-C until it is restored; one at a time.
struct InterruptHandler {
  init(_ action: @escaping @Sendable () -> Void) {
    InterruptSource.shared.action.withLock { $0 = action }
  }

  /// Lets Ctrl-C end the program again.
  func restore() { InterruptSource.shared.action.withLock { $0 = nil } }
}

/// The one source of the process.
///
/// Dispatch puts its signal handler in place for the first source only: a second one would hear nothing once the default
/// was restored.
private final class InterruptSource: @unchecked Sendable {
  // Sendable: the source is only kept, and the action is guarded.

  static let shared = InterruptSource()

  let action = Mutex<(@Sendable () -> Void)?>(nil)
  private let source: any DispatchSourceSignal

  private init() {
    // A queue of its own: work may keep all threads of the global ones busy.
    source = DispatchSource.makeSignalSource(
      signal: SIGINT,
      queue: DispatchQueue(label: "idefix interrupts")
    )
    source.setEventHandler { [unowned self] in
      guard let action = action.withLock({ $0 }) else { return Self.end() }
      action()
    }
    source.resume()
  }

  /// Ends the program as Ctrl-C does by default.
  private static func end() {
    signal(SIGINT, SIG_DFL)
    // Dispatch blocks the signal in every thread that it reaches.
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGINT)
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
    raise(SIGINT)
  }
}

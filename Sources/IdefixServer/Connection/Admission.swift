// How much the server takes on at once: a bound on requests and a bound on the bytes of their bodies, so
// that overload is answered 429 at once and never becomes memory.

import Synchronization

/// Counts requests in hand and the bytes they hold.
final class Admission: Sendable {
  private struct Load {
    var requests = 0
    var bytes = 0
  }

  private let maxRequests: Int
  private let maxBytes: Int
  private let load = Mutex(Load())

  init(options: ServerOptions) {
    maxRequests = options.maxConcurrentRequests
    maxBytes = options.maxBufferedBytes
  }

  /// Requests in hand.
  var requests: Int { load.withLock { $0.requests } }

  /// Takes a request on, or throws ``ServerError/overloaded``.
  func admit() throws(ServerError) -> Ticket {
    let admitted = load.withLock { load in
      guard load.requests < maxRequests else { return false }
      load.requests += 1
      return true
    }
    guard admitted else { throw .overloaded }
    return Ticket(admission: self)
  }

  fileprivate func reserve(bytes: Int) throws(ServerError) {
    let reserved = load.withLock { load in
      guard load.bytes + bytes <= maxBytes else { return false }
      load.bytes += bytes
      return true
    }
    guard reserved else { throw .overloaded }
  }

  fileprivate func release(bytes: Int) {
    load.withLock {
      $0.requests -= 1
      $0.bytes -= bytes
    }
  }

  /// One request's place; given back when the last reference to it goes.
  final class Ticket: Sendable {
    private let admission: Admission
    private let bytes = Mutex(0)

    fileprivate init(admission: Admission) { self.admission = admission }

    /// Counts bytes that this request will hold until it ends.
    func reserve(bytes count: Int) throws(ServerError) {
      try admission.reserve(bytes: count)
      bytes.withLock { $0 += count }
    }

    deinit { admission.release(bytes: bytes.withLock { $0 }) }
  }
}

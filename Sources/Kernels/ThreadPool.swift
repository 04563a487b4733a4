// Fork and join of a fixed number of threads: the caller and its workers claim numbered chunks of a
// job until none is left. A worker that the system has put aside delays nobody: chunks go to who
// comes, and a job ends when its chunks are done, not when its workers have woken.
//
// All state of a job is one word, the ticket: job number and open chunks. A claim is a
// compare-and-swap of the ticket, so a claim that succeeds proves that the job was still open when
// its body was read. Workers spin briefly for the next job and then sleep on a condition variable.
//
// Half of the threads claim chunks from the front, half from the back: what a thread has written in one job it
// mostly reads itself in the next, and processors whose caches lie far apart exchange less.

import CIntrinsics
import Glibc
import Synchronization

/// A pool of threads for one caller at a time.
final class ThreadPool {
  /// Work of a chunk: its number and that of the thread, `0..<threads`.
  typealias Body = (_ chunk: Int, _ thread: Int) -> Void

  /// Most chunks of a job.
  static let maximumChunks = Ticket.limit

  /// Threads that work on a job, the caller included.
  let threads: Int
  private let shared = SharedState()
  private var workers: [pthread_t] = []

  /// Starts `threads - 1` workers.
  init(threads: Int) throws(KernelError) {
    guard (1...1024).contains(threads) else { throw .threadCount(threads) }
    self.threads = threads
    for index in 1..<max(threads, 1) {
      let start = WorkerStart(shared: shared, index: index)
      let argument = Unmanaged.passRetained(start)
      var thread = pthread_t()
      let code = pthread_create(
        &thread,
        nil,
        { raw in
          guard let raw else { return nil }
          let start = Unmanaged<WorkerStart>.fromOpaque(raw).takeRetainedValue()
          start.shared.work(as: start.index)
          return nil
        },
        argument.toOpaque()
      )
      guard code == 0 else {
        argument.release()
        shared.stop()
        for worker in workers { pthread_join(worker, nil) }
        throw .threadStart(code: code)
      }
      workers.append(thread)
    }
  }

  deinit {
    shared.stop()
    for worker in workers { pthread_join(worker, nil) }
  }

  /// Calls `body` once for every chunk `0..<chunks`, on any threads in any order, and returns when
  /// all calls have returned.
  func run(_ chunks: Int, _ body: Body) {
    precondition(chunks <= Self.maximumChunks, "too many chunks")
    guard chunks > 1, threads > 1 else {
      for chunk in 0..<max(chunks, 0) { body(chunk, 0) }
      return
    }
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { shared.run(chunks, $0) }
    }
  }
}

/// What a worker thread is given.
private final class WorkerStart {
  let shared: SharedState
  let index: Int

  init(shared: SharedState, index: Int) {
    self.shared = shared
    self.index = index
  }
}

/// Job number and open chunks of the job in one word.
private struct Ticket: Equatable {
  /// Most chunks of a job.
  static let limit = 1 << 18 - 1

  var word: UInt64

  init(word: UInt64) { self.word = word }

  /// A new job after this one.
  func next(chunks: Int) -> Ticket {
    Ticket(word: ((word >> 36) &+ 1) << 36 | UInt64(chunks) << 18)
  }

  /// First open chunk.
  private var lower: Int { Int(word & 0x3ffff) }
  /// The chunk behind the last open one.
  private var upper: Int { Int(word >> 18 & 0x3ffff) }
  var isExhausted: Bool { lower >= upper }

  /// The open chunk that is thread `index`'s next, and the ticket without it.
  func claim(as index: Int) -> (chunk: Int, rest: Ticket) {
    index % 2 == 0
      ? (lower, Ticket(word: word + 1)) : (upper - 1, Ticket(word: word - 1 << 18))
  }
}

/// What the caller and its workers share.
private final class SharedState: @unchecked Sendable {
  // Sendable: mutable state is atomic, or guarded by `mutex` (the condition variable).

  private let ticket = Atomic<UInt64>(0)
  /// Chunks of the current job that have been completed.
  private let completed = Atomic<Int>(0)
  /// Address of the current job's body, valid while a chunk of the job is open.
  private let body = Atomic<UInt>(0)
  private let sleepers = Atomic<Int>(0)
  private let isStopped = Atomic<Bool>(false)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  /// Turns of a spin loop before a worker sleeps: some 100 microseconds.
  private static let workerSpins = 6000
  /// Turns of a spin loop before the caller offers its processor to others.
  private static let callerSpins = 2000

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func run(_ chunks: Int, _ job: UnsafePointer<ThreadPool.Body>) {
    completed.store(0, ordering: .relaxed)
    body.store(UInt(bitPattern: job), ordering: .relaxed)
    let current = Ticket(word: ticket.load(ordering: .relaxed))
    ticket.store(current.next(chunks: chunks).word, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wake() }
    claimChunks(as: 0)
    var turns = 0
    while completed.load(ordering: .acquiring) < chunks {
      lanes_pause()
      turns += 1
      if turns >= Self.callerSpins {
        sched_yield()
        turns = 0
      }
    }
  }

  func stop() {
    isStopped.store(true, ordering: .sequentiallyConsistent)
    wake()
  }

  func work(as index: Int) {
    while !isStopped.load(ordering: .acquiring) {
      claimChunks(as: index)
      var turns = 0
      while isIdle, turns < Self.workerSpins {
        lanes_pause()
        turns += 1
      }
      if isIdle { sleep() }
    }
  }

  /// Works on the current job until its chunks are all claimed.
  private func claimChunks(as index: Int) {
    while true {
      let current = Ticket(word: ticket.load(ordering: .acquiring))
      if current.isExhausted { return }
      let job = body.load(ordering: .relaxed)
      let (chunk, rest) = current.claim(as: index)
      let (claimed, _) = ticket.compareExchange(
        expected: current.word,
        desired: rest.word,
        ordering: .acquiringAndReleasing
      )
      guard claimed, let job = UnsafePointer<ThreadPool.Body>(bitPattern: job) else { continue }
      Self.perform(job, chunk, index)
      completed.add(1, ordering: .releasing)
    }
  }

  /// Kept apart so that the reference to the body is given back before the chunk counts as done.
  @inline(never)
  private static func perform(_ job: UnsafePointer<ThreadPool.Body>, _ chunk: Int, _ thread: Int) {
    job.pointee(chunk, thread)
  }

  private var isIdle: Bool {
    Ticket(word: ticket.load(ordering: .sequentiallyConsistent)).isExhausted
      && !isStopped.load(ordering: .sequentiallyConsistent)
  }

  private func sleep() {
    pthread_mutex_lock(mutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while isIdle { pthread_cond_wait(condition, mutex) }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
  }

  private func wake() {
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}

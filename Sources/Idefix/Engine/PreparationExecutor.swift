// Threads for the preparation of requests: decoding an image takes up to a second, which must not occupy the few
// threads that everything asynchronous in the process shares.

import Dispatch

/// Runs tasks on a queue of their own, about as many at a time as there are cores.
final class PreparationExecutor: TaskExecutor {
  /// The queue of all engines of the process.
  static let shared = PreparationExecutor()

  private let queue = DispatchQueue(label: "idefix preparation", attributes: .concurrent)

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}

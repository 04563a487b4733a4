// SHA-256 of every source file, computed beside the conversion on a thread of its own: provenance
// costs no extra pass before work begins.

import Foundation
import IdeficsModel
import Synchronization
import WeightFiles

/// Provenance of the source files.
final class SourceDigests: Sendable {
  private let files: [InputFile]
  private let cancellation: CancellationFlag
  private let isStopped = Atomic(false)
  private let outcome = Mutex<Result<[IdfxSource], WeightFileError>?>(nil)
  private let done = DispatchGroup()

  init(files: [InputFile], cancellation: CancellationFlag) {
    self.files = files
    self.cancellation = cancellation
  }

  /// Begins; `wait` must be called afterwards.
  func start() {
    DispatchQueue.global().async(group: done) { self.run() }
  }

  /// Gives up and waits for the thread to notice.
  func stop() {
    isStopped.store(true, ordering: .relaxed)
    done.wait()
  }

  /// The provenance of all files, or `nil` when it was cancelled.
  func wait() throws(WeightFileError) -> [IdfxSource]? {
    done.wait()
    return try outcome.withLock { $0 }?.get()
  }

  private func run() {
    var sources: [IdfxSource] = []
    for file in files {
      do throws(WeightFileError) {
        let hash = try FileDigest.sha256(of: file) { _ in
          !self.isStopped.load(ordering: .relaxed) && !self.cancellation.isRaised
        }
        guard let hash else { return }
        let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
        sources.append(IdfxSource(name: name, byteCount: file.size, sha256: hash))
      } catch {
        return outcome.withLock { $0 = .failure(error) }
      }
    }
    outcome.withLock { $0 = .success(sources) }
  }
}

// The two output streams. stdout carries results only; everything meant for a person watching goes to
// stderr, and a bar is drawn only where stderr is a terminal.

import Glibc
import Synchronization

/// Writing to stdout and stderr without buffering surprises.
enum Terminal {
  /// Whether stderr is a terminal.
  static var showsProgress: Bool { isatty(STDERR_FILENO) == 1 }
  /// Whether stdout is a terminal.
  static var isInteractive: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Writes a piece of the result; ends the process quietly when the reader has gone.
  static func write(_ text: String) { write(text, to: STDOUT_FILENO) }

  /// Writes a line for the person watching.
  static func writeError(_ text: String) { write(text, to: STDERR_FILENO) }

  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      // EPIPE: nobody reads any more (`idefix run | head`), and there is nothing left to tell.
      guard written > 0 else {
        exit(descriptor == STDOUT_FILENO ? ExitStatus.inputOutput.rawValue : 0)
      }
      bytes = bytes.dropFirst(written)
    }
  }
}

/// Progress of long work: a bar with rate and remaining time on a terminal, a line every few seconds
/// elsewhere, nothing when quiet.
final class ProgressBar: Sendable {
  private struct State {
    var lastDrawn: ContinuousClock.Instant
    var hasDrawn = false
    var lastLength = 0
  }

  private let title: String
  private let unit: Unit
  private let isQuiet: Bool
  private let start = ContinuousClock.now
  private let state = Mutex(State(lastDrawn: ContinuousClock.now))

  /// What is counted.
  enum Unit {
    case bytes
    case items(String)
  }

  init(_ title: String, unit: Unit, isQuiet: Bool) {
    self.title = title
    self.unit = unit
    self.isQuiet = isQuiet
  }

  /// Shows that `done` of `total` is done, `earlier` of it by an earlier run.
  func update(done: Int, total: Int, earlier: Int = 0) {
    guard !isQuiet else { return }
    let now = ContinuousClock.now
    let interval: Duration = Terminal.showsProgress ? .milliseconds(200) : .seconds(5)
    state.withLock { state in
      // Work that ends before its first drawing is due shows nothing.
      guard now - state.lastDrawn >= interval || (done >= total && state.hasDrawn) else { return }
      state.lastDrawn = now
      state.hasDrawn = true
      let line = text(done: done, total: total, earlier: earlier, elapsed: now - start)
      if Terminal.showsProgress {
        let padding = String(repeating: " ", count: max(0, state.lastLength - line.count))
        Terminal.writeError("\r" + line + padding)
        state.lastLength = line.count
      } else {
        Terminal.writeError(line + "\n")
      }
    }
  }

  /// Clears the bar, so that what follows starts on a clean line.
  func clear() {
    guard !isQuiet, Terminal.showsProgress else { return }
    state.withLock { state in
      guard state.lastLength > 0 else { return }
      Terminal.writeError("\r" + String(repeating: " ", count: state.lastLength) + "\r")
      state.lastLength = 0
    }
  }

  private func text(done: Int, total: Int, earlier: Int, elapsed: Duration) -> String {
    let seconds = elapsed / .seconds(1)
    let share = total > 0 ? Double(done) / Double(total) : 1
    let rate = seconds > 0 ? Double(done - earlier) / seconds : 0
    var line = "\(title) \(Int(share * 100)) %"
    if Terminal.showsProgress {
      let filled = Int(share * 24)
      line =
        "\(title) [\(String(repeating: "█", count: filled))"
        + "\(String(repeating: "·", count: 24 - filled))] \(Int(share * 100)) %"
    }
    switch unit {
    case .bytes:
      line += "  \(ByteCount(done)) of \(ByteCount(total))"
      if seconds > 0.5 { line += ", \(ByteCount(Int(rate)))/s" }
    case .items(let name):
      line += "  \(done) of \(total) \(name)"
    }
    if seconds > 1, rate > 0, share > 0.01, share < 1 {
      line += ", \(Self.clock(Double(total - done) / rate)) left"
    }
    return line
  }

  private static func clock(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded(.up))
    guard whole >= 60 else { return "\(whole) s" }
    let rest = whole % 60
    return "\(whole / 60):" + (rest < 10 ? "0\(rest)" : "\(rest)")
  }
}

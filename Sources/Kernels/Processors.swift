// How many threads are worth starting: physical cores that this process may run on, no more than
// the processor time that its control group grants. Reads sched_getaffinity, sysfs and cgroup v2.

import CIntrinsics
import Glibc

/// Processors that this process may use.
public enum Processors {
  /// Numbers of the logical processors in the affinity mask, ascending.
  public static let allowed: [Int] = {
    var mask = [UInt64](repeating: 0, count: 128)
    let bytes = cpu_affinity(&mask, UInt(mask.count * 8))
    guard bytes > 0 else { return [0] }
    let numbers = (0..<(bytes * 8)).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
    return numbers.isEmpty ? [0] : numbers
  }()

  /// Physical cores among the allowed processors.
  public static let physicalCores: Int = {
    let siblings = allowed.map { number in
      text(of: "/sys/devices/system/cpu/cpu\(number)/topology/thread_siblings_list")
        ?? String(number)
    }
    return Set(siblings).count
  }()

  /// Processors' worth of time that the control group grants, or `nil` without a limit.
  public static let quota: Double? = {
    let group =
      text(of: "/proc/self/cgroup")?.split(separator: "\n")
      .first { $0.hasPrefix("0::") }?.dropFirst(3) ?? ""
    let paths = ["/sys/fs/cgroup\(group)/cpu.max", "/sys/fs/cgroup/cpu.max"]
    for path in paths {
      let fields = text(of: path)?.split(whereSeparator: \.isWhitespace) ?? []
      guard fields.count == 2, let time = Double(fields[0]), let period = Double(fields[1]),
        time > 0, period > 0
      else { continue }
      return time / period
    }
    return nil
  }()

  /// Threads that a `ComputeContext` starts by default: at least one.
  public static let recommendedThreads: Int = {
    let granted = quota.map { max(1, Int($0.rounded(.up))) } ?? .max
    return max(1, min(physicalCores, granted))
  }()

  /// The first 4 KiB of a small system file, or `nil` when it cannot be read.
  private static func text(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }
}

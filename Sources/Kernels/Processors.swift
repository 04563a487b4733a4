// How many threads are worth starting: physical cores that this process may run on, no more than
// the processor time that its control groups grant. Reads sched_getaffinity, sysfs and cgroups.

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
  public static let quota: Double? = text(of: "/proc/self/cgroup").flatMap {
    quota(memberships: $0, read: text(of:))
  }

  /// The tightest limit of a group and the groups around it.
  ///
  /// - Parameters:
  ///   - memberships: `/proc/self/cgroup`: lines `number:controllers:path`.
  ///   - read: the text of a file, or `nil` where there is none.
  /// - Returns: processors, or `nil` without a limit in either version of control groups.
  package static func quota(memberships: String, read: (String) -> String?) -> Double? {
    var limits: [Double] = []
    for line in memberships.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      // Inside a container the path may be the host's, of which only the root is visible.
      var groups = [""]
      for name in fields[2].split(separator: "/") {
        groups.append((groups.last ?? "") + "/" + name)
      }
      for group in groups {
        if fields[0] == "0" && controllers.isEmpty {
          let words = read("/sys/fs/cgroup\(group)/cpu.max")?.split(whereSeparator: \.isWhitespace)
          limits += limit(words?.first, words?.last)
        } else if controllers.contains("cpu") {
          let folder = "/sys/fs/cgroup/cpu\(group)/cpu.cfs_"
          limits += limit(read(folder + "quota_us"), read(folder + "period_us"))
        }
      }
    }
    return limits.min()
  }

  /// Time over period, or nothing where either is missing or no positive number (`max`, −1).
  private static func limit<Text: StringProtocol>(_ time: Text?, _ period: Text?) -> [Double] {
    let numbers = [time, period].compactMap { text in
      text.flatMap { Double(String($0).filter { !$0.isWhitespace }) }
    }
    guard numbers.count == 2, numbers[0] > 0, numbers[1] > 0 else { return [] }
    return [numbers[0] / numbers[1]]
  }

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

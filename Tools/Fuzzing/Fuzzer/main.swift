// libFuzzer around the targets of Tests/FuzzTargets. Built and run by Tools/fuzz; $FUZZ_TARGET names the target and
// $FUZZ_SECONDS the time (they are no arguments, because libFuzzer starts this program again with arguments of its
// own). Time is processor time, as the wall clock, which libFuzzer looks at, says little on a busy machine: the run
// ends after so much of it, and an input that takes more than two seconds counts as a crash.

import CLibFuzzer
import FuzzTargets
import Glibc

/// One run of the fuzzer; confined to the main thread.
enum Fuzzing {
  static let target = variable("FUZZ_TARGET").flatMap(FuzzTarget.init)
  static let limit = variable("FUZZ_SECONDS").flatMap(Double.init) ?? .infinity
  static let scratch = try? ScratchFolder(in: "/dev/shm")
  nonisolated(unsafe) static var inputs = 0

  static func run(_ input: [UInt8]) {
    guard let target, let scratch else { return }
    let started = processorSeconds()
    _ = target.accepts(input, scratch: scratch)
    let ended = processorSeconds()
    precondition(ended - started < 2, "too slow")
    inputs += 1
    guard ended > limit else { return }
    print(
      "\(target.rawValue): \(inputs) inputs in \(Int(ended)) s of processor time, nothing found"
    )
    fflush(nil)
    scratch.remove()
    _exit(0)
  }

  private static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }

  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

guard Fuzzing.target != nil, Fuzzing.scratch != nil else {
  print("FUZZ_TARGET must be one of")
  for target in FuzzTarget.allCases { print("  \(target.rawValue)") }
  exit(64)
}
var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
  LLVMFuzzerRunDriver(&count, &arguments) { data, count in
    Fuzzing.run(Array(UnsafeBufferPointer(start: data, count: count)))
    return 0
  }
)

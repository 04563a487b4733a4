// Runs a command and tells what it took: `measure COMMAND [ARGUMENT…]` prints one line on stdout,
//   STATUS PEAK-KIB PROCESSOR-µS WALL-µS
// STATUS is the exit code, or 1000 and the signal. A program of its own, because a child's peak memory begins with
// that of the process that starts it: a test process is far too large for the bars that are held with this.

import Glibc

let words = Array(CommandLine.arguments.dropFirst())
guard !words.isEmpty else {
  print("usage: measure COMMAND [ARGUMENT…]")
  exit(64)
}

func microseconds(_ time: timeval) -> Int { Int(time.tv_sec) * 1_000_000 + Int(time.tv_usec) }

func now() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int(time.tv_sec) * 1_000_000 + Int(time.tv_nsec) / 1000
}

var actions = posix_spawn_file_actions_t()
posix_spawn_file_actions_init(&actions)
posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
let started = now()
var child = pid_t()
let arguments = words.map { strdup($0) } + [nil]
guard posix_spawn(&child, words[0], &actions, nil, arguments, environ) == 0 else {
  print("measure: cannot run \(words[0])")
  exit(66)
}
var status: Int32 = 0
var usage = rusage()
guard wait4(child, &status, 0, &usage) == child else { exit(70) }
let code = status & 0x7f == 0 ? status >> 8 & 0xff : 1000 + status & 0x7f
print(
  code,
  usage.ru_maxrss,
  microseconds(usage.ru_utime) + microseconds(usage.ru_stime),
  now() - started
)

// Choice of the instruction set and the thread pool.

import Kernels
import Tensors
import TestSupport
import Testing

@Suite struct ComputeContextTests {
  @Test func portableIsAlwaysAvailable() throws {
    #expect(ISA.available.first == .portable)
    #expect(ISA.available.contains(ISA.best))
    let context = try ComputeContext()
    #expect(context.isa == ISA.best)
    #expect(Processors.recommendedThreads >= 1)
    #expect(Processors.recommendedThreads <= Processors.allowed.count)
  }

  @Test func theTightestControlGroupLimitsTheThreads() {
    func quota(_ memberships: String, _ files: [String: String]) -> Double? {
      Processors.quota(memberships: memberships) { files[$0] }
    }
    let second = [
      "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
    ]
    #expect(quota("0::/a/b\n", second) == 1.5)
    #expect(quota("0::/a\n", ["/sys/fs/cgroup/cpu.max": "200000 100000"]) == 2)
    let first = [
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000\n",
      "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
    ]
    #expect(quota("4:cpu,cpuacct:/x\n3:cpuset:/y\n0::/\n", first) == 0.5)
    #expect(quota("4:cpu:/\n", first) == nil)
    #expect(quota("nonsense\n", [:]) == nil)
  }

  @Test func whatIsMissingIsRefused() {
    #if arch(x86_64)
    #expect(throws: KernelError.unavailable(.neon)) { try ComputeContext(isa: .neon) }
    #else
    #expect(throws: KernelError.unavailable(.avx2)) { try ComputeContext(isa: .avx2) }
    #endif
    #expect(throws: KernelError.threadCount(0)) { try ComputeContext(threads: 0) }
    #expect(throws: KernelError.threadCount(1025)) { try ComputeContext(threads: 1025) }
  }

  @Test(arguments: [1, 2, 7])
  func jobsOfManySizesAreDoneExactlyOnce(_ threads: Int) throws {
    // Additions are not idempotent: an element added twice or not at all shows.
    let context = try ComputeContext(isa: .portable, threads: threads)
    for size in [1, 16, 17, 32768, 32769, 200_000] {
      let one = Matrix(rows: 1, columns: size, values: [Float](repeating: 1, count: size))
      var sum = Matrix(rows: 1, columns: size)
      for _ in 0..<20 { context.add(one, into: &sum) }
      #expect(sum.values().allSatisfy { $0 == 20 })
    }
  }

  @Test func contextsOfSeveralThreadsWorkSideBySide() async throws {
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          let context = try ComputeContext(threads: 3)
          let ones = Matrix(
            rows: 1,
            columns: 100_000,
            values: [Float](repeating: 1, count: 100_000)
          )
          var sum = Matrix(rows: 1, columns: 100_000)
          for _ in 0..<100 { context.add(ones, into: &sum) }
          return sum.values().allSatisfy { $0 == 100 }
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
  }

  @Test(arguments: ISA.available)
  func theProbeMeasuresWork(_ isa: ISA) throws {
    let probe = MachineProbe(context: try ComputeContext(isa: isa, threads: 2), bytes: 4 << 20)
    // No processor reads 10 TB/s or multiplies 10^15 times a second: such a figure is dropped work.
    #expect((1e6...1e13).contains(probe.readBytesPerSecond()))
    #expect((1e6...1e15).contains(probe.productsPerSecond()))
  }

  @Test func workFasterThanTheProbeIsNotTrusted() throws {
    let probe = MachineProbe(context: try ComputeContext(threads: 1), bytes: 4 << 20)
    var count = 0
    let runs = probe.runs(of: 1e18, against: .multiplying, repeats: 3) { count += 1 }
    #expect(runs.trust == .probeBeaten)
    #expect(runs.share > 1)
    #expect(runs.seconds.count >= 3 && runs.seconds.count <= count && count <= 6)
  }
}

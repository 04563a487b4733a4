// What the processor and the operating system offer. Included by intrinsics.h.

#ifndef IDEFIX_INTRINSICS_CPU_H
#define IDEFIX_INTRINSICS_CPU_H

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

// Writes the affinity mask of the calling thread to `mask`; returns its bytes, or less than 1.
LANES long cpu_affinity(void *mask, unsigned long bytes) {
  return syscall(SYS_sched_getaffinity, 0, bytes, mask);
}
#endif

#if defined(__x86_64__)
#include <cpuid.h>

// Registers of cpuid `leaf`, `subleaf` as {eax, ebx, ecx, edx}; all zero beyond the highest leaf.
LANES lanes_u32x4 cpu_identify(uint32_t leaf, uint32_t subleaf) {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_max(0, 0) >= leaf) __cpuid_count(leaf, subleaf, a, b, c, d);
  return (lanes_u32x4){a, b, c, d};
}

// Register state that the operating system saves; call only when cpuid reports OSXSAVE.
LANES uint64_t cpu_saved_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
}
#endif

#endif

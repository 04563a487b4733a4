// Vector primitives that Swift's SIMD types lack or compile badly, as inlined functions: no symbol
// is ever emitted from here. What a function compiles to depends on the instruction-set flags of
// the importing target; functions that need an instruction exist only where its flag is on.
//
// Floating-point arithmetic stays in Swift, so that no compiler contracts it.

#ifndef IDEFIX_INTRINSICS_H
#define IDEFIX_INTRINSICS_H

#include <stdint.h>

#define LANES static inline __attribute__((always_inline, unused))

typedef float lanes_f32x16 __attribute__((ext_vector_type(16)));
typedef int32_t lanes_i32x16 __attribute__((ext_vector_type(16)));
typedef uint32_t lanes_u32x16 __attribute__((ext_vector_type(16)));
typedef int32_t lanes_i32x8 __attribute__((ext_vector_type(8)));
typedef uint32_t lanes_u32x8 __attribute__((ext_vector_type(8)));
typedef int32_t lanes_i32x4 __attribute__((ext_vector_type(4)));
typedef uint32_t lanes_u32x4 __attribute__((ext_vector_type(4)));

// Storage types without an alignment of their own: memory operands may lie anywhere.
typedef int8_t lanes_i8x16 __attribute__((ext_vector_type(16)));
typedef uint16_t lanes_u16x16 __attribute__((ext_vector_type(16)));
typedef struct { lanes_i8x16 value; } __attribute__((packed, aligned(1))) lanes_any_i8x16;
typedef struct { lanes_u16x16 value; } __attribute__((packed, aligned(1))) lanes_any_u16x16;

// Fetches the cache line at `p` into every level.
LANES void lanes_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }

// Fetches the cache line at `p` into the second level and those behind it.
LANES void lanes_prefetch_far(const void *p) { __builtin_prefetch(p, 0, 2); }

// Eases the other hardware thread, and the power budget, inside a spin loop.
LANES void lanes_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// int32 to float32, rounded to nearest even.
LANES lanes_f32x16 lanes_float(lanes_i32x16 v) {
  return __builtin_convertvector(v, lanes_f32x16);
}

// a > b ? a : b in each lane; a NaN in b is kept.
LANES lanes_f32x16 lanes_max(lanes_f32x16 a, lanes_f32x16 b) { return a > b ? a : b; }

// a < b ? a : b in each lane; a NaN in b is kept.
LANES lanes_f32x16 lanes_min(lanes_f32x16 a, lanes_f32x16 b) { return a < b ? a : b; }

// a > b ? x : y in each lane.
LANES lanes_f32x16 lanes_select(
    lanes_f32x16 a, lanes_f32x16 b, lanes_f32x16 x, lanes_f32x16 y) {
  return a > b ? x : y;
}

#if !defined(__AVX512F__)
// How many of firsts[1…15], which ascend, are not above the position.
LANES lanes_u32x16 lanes_nearest_code(lanes_f32x16 position, lanes_f32x16 firsts) {
  lanes_i32x16 code = 0;
#pragma clang loop unroll(full)
  for (int i = 1; i < 16; i++) code -= position >= (lanes_f32x16)firsts[i];
  return (lanes_u32x16)code;
}

// The entry of that number: the differences of the entries, bit by bit, put together up to it.
LANES lanes_f32x16 lanes_nearest(
    lanes_f32x16 position, lanes_f32x16 entries, lanes_f32x16 firsts) {
  lanes_i32x16 bits = (lanes_i32x16)entries;
  lanes_i32x16 value = (lanes_i32x16)bits[0];
#pragma clang loop unroll(full)
  for (int i = 1; i < 16; i++)
    value ^= (position >= (lanes_f32x16)firsts[i]) & (lanes_i32x16)(bits[i] ^ bits[i - 1]);
  return (lanes_f32x16)value;
}
#endif

// 16 int8 at `p`, widened.
LANES lanes_i32x16 lanes_load_i8(const void *p) {
  return __builtin_convertvector(((const lanes_any_i8x16 *)p)->value, lanes_i32x16);
}

// The low bytes of 16 int32, stored at `p`.
LANES void lanes_store_i8(lanes_i32x16 v, void *p) {
  ((lanes_any_i8x16 *)p)->value = __builtin_convertvector(v, lanes_i8x16);
}

// 16 bfloat16 at `p`, widened exactly.
LANES lanes_f32x16 lanes_load_bf16(const void *p) {
  lanes_u32x16 bits =
      __builtin_convertvector(((const lanes_any_u16x16 *)p)->value, lanes_u32x16) << 16;
  return (lanes_f32x16)bits;
}

#include "intrinsics_cpu.h"
#include "intrinsics_x86.h"
#include "intrinsics_neon.h"

#endif

// Primitives of ARMv8.2 with dot product. Included by intrinsics.h.

#ifndef IDEFIX_INTRINSICS_NEON_H
#define IDEFIX_INTRINSICS_NEON_H

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

// Each byte of `codes` selects one of the 16 bytes of `table`.
LANES lanes_u32x4 lanes_lookup4(lanes_u32x4 table, lanes_u32x4 codes) {
  return (lanes_u32x4)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)codes);
}

// sums + w · x for 4 int8 products a lane, x 4 int8 broadcast.
LANES lanes_i32x4 lanes_dot4(lanes_i32x4 sums, lanes_u32x4 w, uint32_t x) {
  return (lanes_i32x4)vdotq_s32((int32x4_t)sums, (int8x16_t)w, (int8x16_t)vdupq_n_u32(x));
}

// 4 int8 at `p`, widened.
LANES lanes_i32x4 lanes_load_i8x4(const int8_t *p) {
  return (lanes_i32x4){p[0], p[1], p[2], p[3]};
}

typedef _Float16 lanes_f16x16 __attribute__((ext_vector_type(16)));
typedef struct { lanes_f16x16 value; } __attribute__((packed, aligned(1))) lanes_any_f16x16;

// 16 float16 at `p`, widened exactly.
LANES lanes_f32x16 lanes_load_f16(const void *p) {
  return __builtin_convertvector(((const lanes_any_f16x16 *)p)->value, lanes_f32x16);
}

// 16 float32 rounded to nearest even float16, stored at `p`.
LANES void lanes_store_f16(lanes_f32x16 v, void *p) {
  ((lanes_any_f16x16 *)p)->value = __builtin_convertvector(v, lanes_f16x16);
}
#endif

#endif

// Primitives of AVX2, AVX-VNNI and AVX-512. Included by intrinsics.h.

#ifndef IDEFIX_INTRINSICS_X86_H
#define IDEFIX_INTRINSICS_X86_H

#if defined(__F16C__)
#include <immintrin.h>

// 16 float16 at `p`, widened exactly.
LANES lanes_f32x16 lanes_load_f16(const void *p) {
#if defined(__AVX512F__)
  return (lanes_f32x16)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#else
  union { __m256 half[2]; lanes_f32x16 all; } u;
  u.half[0] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
  u.half[1] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p + 1));
  return u.all;
#endif
}

// 16 float32 rounded to nearest even float16, stored at `p`.
LANES void lanes_store_f16(lanes_f32x16 v, void *p) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#else
  union { lanes_f32x16 all; __m256 half[2]; } u = {v};
  _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(u.half[0], _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128((__m128i *)p + 1, _mm256_cvtps_ph(u.half[1], _MM_FROUND_TO_NEAREST_INT));
#endif
}
#endif

#if defined(__AVX2__)
// Each byte of `codes` selects one of the 16 bytes of a table that fills each 128-bit lane.
LANES lanes_u32x8 lanes_lookup8(lanes_u32x8 table, lanes_u32x8 codes) {
  return (lanes_u32x8)_mm256_shuffle_epi8((__m256i)table, (__m256i)codes);
}

// sums + scale · (w · x) for 4 int8 products a lane. `x` is 4 int8 broadcast, `magnitude` their
// absolute values; no product pair exceeds 2·127² < 2^15. `scale` holds the int16 scale twice.
LANES lanes_i32x8 lanes_dot8(
    lanes_i32x8 sums, lanes_u32x8 w, uint32_t x, uint32_t magnitude, lanes_i32x8 scale) {
  __m256i signedWeights = _mm256_sign_epi8((__m256i)w, _mm256_set1_epi32((int)x));
  __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi32((int)magnitude), signedWeights);
  return sums + (lanes_i32x8)_mm256_madd_epi16(pairs, (__m256i)scale);
}

// The multiply-adds of `lanes_dot8` without its signs: exact only where no weight is negative.
LANES lanes_i32x8 lanes_bare_dot8(
    lanes_i32x8 sums, lanes_u32x8 w, uint32_t x, lanes_i32x8 scale) {
  __m256i pairs = _mm256_maddubs_epi16((__m256i)w, _mm256_set1_epi32((int)x));
  return sums + (lanes_i32x8)_mm256_madd_epi16(pairs, (__m256i)scale);
}

// 8 int8 at `p`, each as two equal int16 of a lane.
LANES lanes_i32x8 lanes_pair_scale8(const void *p) {
  __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
  return (lanes_i32x8)_mm256_blend_epi16(wide, _mm256_slli_epi32(wide, 16), 0xaa);
}
#endif

#if defined(__AVX2__)
// Bytes 0 and 2 of each lane as int16, times the int16 of `scale`: at most 127².
LANES lanes_i32x8 lanes_even_pairs8(lanes_u32x8 bytes, lanes_i32x8 scale) {
  __m256i wide = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)bytes, 8), 8);
  return (lanes_i32x8)_mm256_mullo_epi16(wide, (__m256i)scale);
}

// Bytes 1 and 3 of each lane as int16, times the int16 of `scale`.
LANES lanes_i32x8 lanes_odd_pairs8(lanes_u32x8 bytes, lanes_i32x8 scale) {
  return (lanes_i32x8)_mm256_mullo_epi16(
      _mm256_srai_epi16((__m256i)bytes, 8), (__m256i)scale);
}

// sums + w · x for 2 int16 products a lane, x 2 int16 broadcast.
LANES lanes_i32x8 lanes_pair_dot8(lanes_i32x8 sums, lanes_i32x8 w, lanes_i32x8 x) {
  return sums + (lanes_i32x8)_mm256_madd_epi16((__m256i)w, (__m256i)x);
}
#endif

#if defined(__AVX512F__)
// How many of firsts[1…15], which ascend, are not above the position: halves what is left, four times.
LANES lanes_u32x16 lanes_nearest_code(lanes_f32x16 position, lanes_f32x16 firsts) {
  __m512i code = _mm512_setzero_si512();
#pragma clang loop unroll(full)
  for (int step = 8; step > 0; step /= 2) {
    __m512i steps = _mm512_set1_epi32(step);
    // firsts[code + step], turned first: the table does not change in a loop.
    __m512i turn = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), steps);
    __m512 turned = _mm512_permutexvar_ps(turn, (__m512)firsts);
    __mmask16 reached = _mm512_cmp_ps_mask(
        (__m512)position, _mm512_permutexvar_ps(code, turned), _CMP_GE_OQ);
    code = _mm512_mask_add_epi32(code, reached, code, steps);
  }
  return (lanes_u32x16)code;
}

// The entry of that number.
LANES lanes_f32x16 lanes_nearest(
    lanes_f32x16 position, lanes_f32x16 entries, lanes_f32x16 firsts) {
  __m512i code = (__m512i)lanes_nearest_code(position, firsts);
  return (lanes_f32x16)_mm512_permutexvar_ps(code, (__m512)entries);
}
#endif

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
// Sum of 16 int8 at `p`.
LANES int32_t lanes_sum16(const void *p) {
  __m128i bytes = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8(-128));
  __m128i eights = _mm_sad_epu8(bytes, _mm_setzero_si128());
  return _mm_cvtsi128_si32(eights) + _mm_extract_epi32(eights, 2) - 2048;
}
#endif

#if defined(__AVXVNNI__)
// 8 int8 at `p`, widened.
LANES lanes_i32x8 lanes_load8_i8(const void *p) {
  return (lanes_i32x8)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

// sums + w · x for 4 products a lane, w unsigned bytes, x 4 int8 broadcast.
LANES lanes_i32x8 lanes_vnni_dot8(lanes_i32x8 sums, lanes_u32x8 w, uint32_t x) {
  return (lanes_i32x8)_mm256_dpbusd_avx_epi32(
      (__m256i)sums, (__m256i)w, _mm256_set1_epi32((int)x));
}
#endif

#if defined(__AVX512VNNI__)
// Each byte of `codes` selects one of the 16 bytes of a table that fills each 128-bit lane.
LANES lanes_u32x16 lanes_lookup16(lanes_u32x16 table, lanes_u32x16 codes) {
  return (lanes_u32x16)_mm512_shuffle_epi8((__m512i)table, (__m512i)codes);
}

// sums + w · x for 4 products a lane, w unsigned bytes, x 4 int8 broadcast.
LANES lanes_i32x16 lanes_dot16(lanes_i32x16 sums, lanes_u32x16 w, uint32_t x) {
  return (lanes_i32x16)_mm512_dpbusd_epi32(
      (__m512i)sums, (__m512i)w, _mm512_set1_epi32((int)x));
}
#endif

#endif

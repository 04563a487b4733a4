// See include/cpng.h. Samples of 16 bits keep their most significant byte, except grey without
// alpha, which is handed over whole; samples of fewer than 8 bits are stretched to 0...255.

#include "cpng.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

struct idefix_png {
  png_structp reader;
  png_infop info;
  const uint8_t *bytes;
  size_t remaining;
  uint32_t height;
  size_t stride;
  int passes;
  jmp_buf escape;
  int status;
};

static void on_error(png_structp reader, png_const_charp message) {
  (void)message;
  idefix_png *png = png_get_error_ptr(reader);
  if (png->status == IDEFIX_PNG_OK) png->status = IDEFIX_PNG_CORRUPT;
  longjmp(png->escape, 1);
}

static void on_warning(png_structp reader, png_const_charp message) {
  (void)reader;
  (void)message;
}

static png_voidp allocate(png_structp reader, png_alloc_size_t size) {
  void *memory = malloc(size);
  if (!memory) ((idefix_png *)png_get_mem_ptr(reader))->status = IDEFIX_PNG_OUT_OF_MEMORY;
  return memory;
}

static void release(png_structp reader, png_voidp memory) {
  (void)reader;
  free(memory);
}

static void take(png_structp reader, png_bytep target, size_t count) {
  idefix_png *png = png_get_io_ptr(reader);
  if (count > png->remaining) {
    png->status = IDEFIX_PNG_TRUNCATED;
    png_error(reader, "");
  }
  memcpy(target, png->bytes, count);
  png->bytes += count;
  png->remaining -= count;
}

int idefix_png_open(const uint8_t *bytes, size_t count, uint32_t max_side, idefix_png **result,
                    idefix_png_info *info) {
  *result = NULL;
  idefix_png *png = calloc(1, sizeof *png);
  if (!png) return IDEFIX_PNG_OUT_OF_MEMORY;
  png->bytes = bytes;
  png->remaining = count;
  if (setjmp(png->escape)) {
    int status = png->status;
    idefix_png_close(png);
    return status;
  }

  png->reader = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, png, on_error, on_warning, png,
                                         allocate, release);
  png->info = png->reader ? png_create_info_struct(png->reader) : NULL;
  if (!png->info) {
    idefix_png_close(png);
    return IDEFIX_PNG_OUT_OF_MEMORY;
  }
  png_structp reader = png->reader;
  png_set_read_fn(reader, png, take);
  png_set_user_limits(reader, max_side, max_side);
  // -1: every chunk but IHDR, PLTE, tRNS, IDAT and IEND.
  png_set_keep_unknown_chunks(reader, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_read_info(reader, png->info);

  int depth = png_get_bit_depth(reader, png->info);
  int color = png_get_color_type(reader, png->info);
  int transparent = png_get_valid(reader, png->info, PNG_INFO_tRNS) != 0;
  info->width = png_get_image_width(reader, png->info);
  info->height = png_get_image_height(reader, png->info);
  info->transparent_gray = -1;
  if (color == PNG_COLOR_TYPE_GRAY && transparent) {
    png_color_16p key = NULL;
    png_get_tRNS(reader, png->info, NULL, NULL, &key);
    if (key) info->transparent_gray = key->gray;
  }

  info->layout = IDEFIX_PNG_RGB;
  if (color == PNG_COLOR_TYPE_GRAY && depth == 16) {
    info->layout = IDEFIX_PNG_GRAY16;
  } else {
    if (depth == 16) png_set_strip_16(reader);
    if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(reader);
    if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(reader);
    if ((color & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(reader);
    if (color & PNG_COLOR_MASK_ALPHA) info->layout = IDEFIX_PNG_RGBA;
    if (color == PNG_COLOR_TYPE_PALETTE && transparent) {
      png_set_tRNS_to_alpha(reader);
      info->layout = IDEFIX_PNG_RGBA;
    }
  }
  png->passes = png_set_interlace_handling(reader);
  png_read_update_info(reader, png->info);
  png->height = info->height;
  png->stride = png_get_rowbytes(reader, png->info);

  static const size_t widths[] = {
      [IDEFIX_PNG_RGB] = 3, [IDEFIX_PNG_RGBA] = 4, [IDEFIX_PNG_GRAY16] = 2};
  if (png->stride != widths[info->layout] * info->width) png_error(reader, "");
  *result = png;
  return IDEFIX_PNG_OK;
}

int idefix_png_read(idefix_png *png, int (*is_cancelled)(void), uint8_t *pixels) {
  if (setjmp(png->escape)) return png->status;
  for (int pass = 0; pass < png->passes; pass++)
    for (uint32_t row = 0; row < png->height; row++) {
      if (is_cancelled()) return IDEFIX_PNG_CANCELLED;
      png_read_row(png->reader, pixels + png->stride * row, NULL);
    }
  return IDEFIX_PNG_OK;
}

void idefix_png_close(idefix_png *png) {
  if (!png) return;
  png_destroy_read_struct(&png->reader, &png->info, NULL);
  free(png);
}

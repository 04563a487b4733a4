// The first picture of a GIF over giflib, from memory. Later frames are never read, so their number
// costs nothing.

#ifndef IDEFIX_GIF_H
#define IDEFIX_GIF_H

#include <stddef.h>
#include <stdint.h>

/// What became of a call.
enum {
  IDEFIX_GIF_OK = 0,
  /// The bytes ended before the picture did.
  IDEFIX_GIF_TRUNCATED = 1,
  /// The bytes are no GIF that the library can make sense of.
  IDEFIX_GIF_CORRUPT = 2,
  IDEFIX_GIF_OUT_OF_MEMORY = 3,
  /// The caller did not want the picture any more.
  IDEFIX_GIF_CANCELLED = 4,
};

/// A decoder between `open` and `close`.
typedef struct idefix_gif idefix_gif;

typedef struct {
  /// The canvas: the logical screen, grown to hold the first picture.
  uint32_t width;
  uint32_t height;
  /// Palette index that shows what is behind the picture, or -1.
  int transparent;
  /// Red, green, blue of each index; black beyond the file's palette, a grey ramp when it has none.
  uint8_t palette[256 * 3];
} idefix_gif_info;

/// Reads `count` bytes at `bytes`, which must live until `close`, up to the first picture's data.
/// Allocates nothing that depends on the picture's size. `*gif` is NULL unless the result is OK.
int idefix_gif_open(const uint8_t *bytes, size_t count, idefix_gif **gif, idefix_gif_info *info);

/// Decodes the first picture into `indices`, `height` rows of `width` palette indices, in its place
/// on the canvas. What it does not cover is left as it is. `is_cancelled` is asked before each row;
/// what is not 0 ends the call.
int idefix_gif_read(idefix_gif *gif, int (*is_cancelled)(void), uint8_t *indices);

/// Frees the decoder; NULL is allowed.
void idefix_gif_close(idefix_gif *gif);

#endif

// PNG decoding over libpng, as return codes (see cjpeg.h for why). Only IHDR, PLTE, tRNS and IDAT
// are processed: colour profiles, gamma and text, and with them their decompression, are passed over
// unread. No message of the library leaves this file.

#ifndef IDEFIX_PNG_H
#define IDEFIX_PNG_H

#include <stddef.h>
#include <stdint.h>

/// What became of a call.
enum {
  IDEFIX_PNG_OK = 0,
  /// The bytes ended before the picture did.
  IDEFIX_PNG_TRUNCATED = 1,
  /// The bytes are no PNG that the library can make sense of.
  IDEFIX_PNG_CORRUPT = 2,
  IDEFIX_PNG_OUT_OF_MEMORY = 3,
  /// The caller did not want the picture any more.
  IDEFIX_PNG_CANCELLED = 4,
};

/// How `read` lays out a pixel.
enum {
  /// 3 bytes: red, green, blue.
  IDEFIX_PNG_RGB = 0,
  /// 4 bytes: red, green, blue, alpha (not premultiplied).
  IDEFIX_PNG_RGBA = 1,
  /// 2 bytes: grey, most significant first.
  IDEFIX_PNG_GRAY16 = 2,
};

/// A decoder between `open` and `close`.
typedef struct idefix_png idefix_png;

typedef struct {
  uint32_t width;
  uint32_t height;
  int layout;
  /// The tRNS key of a grey picture without alpha as stored in the file, or -1.
  int transparent_gray;
} idefix_png_info;

/// Reads `count` bytes at `bytes`, which must live until `close`, up to the picture's data.
/// Allocates in proportion to the width, which must not exceed `max_side`, nor the height.
/// `*png` is NULL unless the result is OK.
int idefix_png_open(const uint8_t *bytes, size_t count, uint32_t max_side, idefix_png **png,
                    idefix_png_info *info);

/// Decodes the picture into `height` rows of `width` pixels without gaps. `is_cancelled` is asked
/// before each row; what is not 0 ends the call.
int idefix_png_read(idefix_png *png, int (*is_cancelled)(void), uint8_t *pixels);

/// Frees the decoder; NULL is allowed.
void idefix_png_close(idefix_png *png);

#endif

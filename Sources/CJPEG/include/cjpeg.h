// JPEG decoding over libjpeg-turbo, as return codes: libjpeg reports errors by a call that must not
// return, which C can turn into a jump and Swift cannot. Owns the decompressor and nothing else; it
// reads only the bytes it is given and writes only the pixels it is told to. No message of the
// library leaves this file.

#ifndef IDEFIX_JPEG_H
#define IDEFIX_JPEG_H

#include <stddef.h>
#include <stdint.h>

/// What became of a call.
enum {
  IDEFIX_JPEG_OK = 0,
  /// The bytes ended before the picture did.
  IDEFIX_JPEG_TRUNCATED = 1,
  /// The bytes are no JPEG that the library can make sense of.
  IDEFIX_JPEG_CORRUPT = 2,
  /// A JPEG of a kind that is not decoded (12 bits, lossless, two components).
  IDEFIX_JPEG_UNSUPPORTED = 3,
  /// More scans than allowed.
  IDEFIX_JPEG_TOO_MANY_SCANS = 4,
  IDEFIX_JPEG_OUT_OF_MEMORY = 5,
  /// A side beyond what the library decodes; `open` tells the declared size.
  IDEFIX_JPEG_SIDE_TOO_LONG = 6,
  /// The caller did not want the picture any more.
  IDEFIX_JPEG_CANCELLED = 7,
};

/// A decompressor between `open` and `close`.
typedef struct idefix_jpeg idefix_jpeg;

/// The longest side that the library decodes.
enum { IDEFIX_JPEG_MAX_SIDE = 65500 };

typedef struct {
  uint32_t width;
  uint32_t height;
  /// Bytes a pixel that `read` writes: 3 (RGB), or 4 (CMYK as stored in the file).
  uint32_t channels;
} idefix_jpeg_info;

/// Reads the header of `count` bytes at `bytes`, which must live until `close`. Allocates nothing
/// that depends on the picture's size. `*jpeg` is NULL unless the result is OK.
int idefix_jpeg_open(const uint8_t *bytes, size_t count, idefix_jpeg **jpeg,
                     idefix_jpeg_info *info);

/// Decodes the picture into `height` rows of `width * channels` bytes without gaps. `is_cancelled` is
/// asked before each row of blocks of each scan; what is not 0 ends the call.
int idefix_jpeg_read(idefix_jpeg *jpeg, int max_scans, int (*is_cancelled)(void), uint8_t *pixels);

/// Frees the decompressor; NULL is allowed.
void idefix_jpeg_close(idefix_jpeg *jpeg);

#endif

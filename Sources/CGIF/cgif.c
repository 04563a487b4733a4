// See include/cgif.h.

#include "cgif.h"

#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>

struct idefix_gif {
  GifFileType *file;
  const uint8_t *bytes;
  size_t remaining;
  size_t canvas_width;
  int truncated;
};

static int take(GifFileType *file, GifByteType *target, int count) {
  idefix_gif *gif = file->UserData;
  if (count < 0 || (size_t)count > gif->remaining) {
    gif->truncated = 1;
    return 0;
  }
  memcpy(target, gif->bytes, (size_t)count);
  gif->bytes += count;
  gif->remaining -= (size_t)count;
  return count;
}

static int failure(const idefix_gif *gif, int error) {
  if (error == D_GIF_ERR_NOT_ENOUGH_MEM) return IDEFIX_GIF_OUT_OF_MEMORY;
  return gif->truncated ? IDEFIX_GIF_TRUNCATED : IDEFIX_GIF_CORRUPT;
}

/// Reads one extension; a graphic control block that names a transparent index sets `*transparent`.
static int read_extension(GifFileType *file, int *transparent) {
  int code = 0;
  GifByteType *block = NULL;
  if (DGifGetExtension(file, &code, &block) == GIF_ERROR) return GIF_ERROR;
  if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && (block[1] & 1))
    *transparent = block[4];
  while (block)
    if (DGifGetExtensionNext(file, &block) == GIF_ERROR) return GIF_ERROR;
  return GIF_OK;
}

/// Moves to the first picture's data, past its description.
static int find_picture(GifFileType *file, int *transparent) {
  for (;;) {
    GifRecordType record;
    if (DGifGetRecordType(file, &record) == GIF_ERROR) return GIF_ERROR;
    if (record == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(file);
    if (record != EXTENSION_RECORD_TYPE) return GIF_ERROR;
    if (read_extension(file, transparent) == GIF_ERROR) return GIF_ERROR;
  }
}

int idefix_gif_open(const uint8_t *bytes, size_t count, idefix_gif **result,
                    idefix_gif_info *info) {
  *result = NULL;
  idefix_gif *gif = calloc(1, sizeof *gif);
  if (!gif) return IDEFIX_GIF_OUT_OF_MEMORY;
  gif->bytes = bytes;
  gif->remaining = count;

  int error = 0;
  gif->file = DGifOpen(gif, take, &error);
  info->transparent = -1;
  if (!gif->file || find_picture(gif->file, &info->transparent) == GIF_ERROR) {
    int status = failure(gif, gif->file ? gif->file->Error : error);
    idefix_gif_close(gif);
    return status;
  }

  const GifFileType *file = gif->file;
  const GifImageDesc *image = &file->Image;
  if (image->Left < 0 || image->Top < 0 || image->Width <= 0 || image->Height <= 0) {
    idefix_gif_close(gif);
    return IDEFIX_GIF_CORRUPT;
  }
  int right = image->Left + image->Width, bottom = image->Top + image->Height;
  info->width = (uint32_t)(right > file->SWidth ? right : file->SWidth);
  info->height = (uint32_t)(bottom > file->SHeight ? bottom : file->SHeight);
  gif->canvas_width = info->width;

  const ColorMapObject *map = image->ColorMap ? image->ColorMap : file->SColorMap;
  for (int i = 0; i < 256; i++) {
    uint8_t *color = info->palette + 3 * i;
    color[0] = color[1] = color[2] = map ? 0 : (uint8_t)i;
    if (!map || i >= map->ColorCount) continue;
    color[0] = map->Colors[i].Red;
    color[1] = map->Colors[i].Green;
    color[2] = map->Colors[i].Blue;
  }
  *result = gif;
  return IDEFIX_GIF_OK;
}

int idefix_gif_read(idefix_gif *gif, int (*is_cancelled)(void), uint8_t *indices) {
  const GifImageDesc *image = &gif->file->Image;
  static const int starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
  int passes = image->Interlace ? 4 : 1;
  for (int pass = 0; pass < passes; pass++) {
    int step = image->Interlace ? steps[pass] : 1;
    for (int row = starts[pass]; row < image->Height; row += step) {
      if (is_cancelled()) return IDEFIX_GIF_CANCELLED;
      size_t line = (size_t)image->Top + (size_t)row;
      uint8_t *target = indices + line * gif->canvas_width + (size_t)image->Left;
      if (DGifGetLine(gif->file, target, image->Width) == GIF_ERROR)
        return failure(gif, gif->file->Error);
    }
  }
  return IDEFIX_GIF_OK;
}

void idefix_gif_close(idefix_gif *gif) {
  if (!gif) return;
  int error = 0;
  if (gif->file) DGifCloseFile(gif->file, &error);
  free(gif);
}

// See include/cjpeg.h. Settings are the library's defaults (accurate integer DCT, fancy upsampling),
// as Pillow leaves them; damage that the library can decode past is tolerated, as Pillow does, but
// running out of bytes is an error.

#include "cjpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

_Static_assert(IDEFIX_JPEG_MAX_SIDE == JPEG_MAX_DIMENSION, "see cjpeg.h");

struct idefix_jpeg {
  struct jpeg_decompress_struct decompressor;
  struct jpeg_error_mgr errors;
  struct jpeg_source_mgr source;
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  int status;
  int max_scans;
  int (*is_cancelled)(void);
};

static _Noreturn void fail(j_common_ptr common, int status) {
  idefix_jpeg *jpeg = common->client_data;
  jpeg->status = status;
  longjmp(jpeg->escape, 1);
}

static void on_error(j_common_ptr common) {
  switch (common->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
      fail(common, IDEFIX_JPEG_OUT_OF_MEMORY);
    case JERR_IMAGE_TOO_BIG:
      fail(common, IDEFIX_JPEG_SIDE_TOO_LONG);
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
      fail(common, IDEFIX_JPEG_UNSUPPORTED);
    default:
      fail(common, IDEFIX_JPEG_CORRUPT);
  }
}

static void on_message(j_common_ptr common, int level) {
  (void)common;
  (void)level;
}

static void on_output(j_common_ptr common) { (void)common; }

static void on_progress(j_common_ptr common) {
  idefix_jpeg *jpeg = common->client_data;
  if (jpeg->decompressor.input_scan_number > jpeg->max_scans)
    fail(common, IDEFIX_JPEG_TOO_MANY_SCANS);
  if (jpeg->is_cancelled && jpeg->is_cancelled()) fail(common, IDEFIX_JPEG_CANCELLED);
}

static void source_init(j_decompress_ptr decompressor) { (void)decompressor; }

static boolean source_fill(j_decompress_ptr decompressor) {
  fail((j_common_ptr)decompressor, IDEFIX_JPEG_TRUNCATED);
  return FALSE;
}

static void source_skip(j_decompress_ptr decompressor, long count) {
  struct jpeg_source_mgr *source = decompressor->src;
  if (count <= 0) return;
  if ((size_t)count > source->bytes_in_buffer)
    fail((j_common_ptr)decompressor, IDEFIX_JPEG_TRUNCATED);
  source->next_input_byte += count;
  source->bytes_in_buffer -= (size_t)count;
}

static void source_term(j_decompress_ptr decompressor) { (void)decompressor; }

int idefix_jpeg_open(const uint8_t *bytes, size_t count, idefix_jpeg **result,
                     idefix_jpeg_info *info) {
  *result = NULL;
  idefix_jpeg *jpeg = calloc(1, sizeof *jpeg);
  if (!jpeg) return IDEFIX_JPEG_OUT_OF_MEMORY;

  struct jpeg_decompress_struct *decompressor = &jpeg->decompressor;
  decompressor->err = jpeg_std_error(&jpeg->errors);
  jpeg->errors.error_exit = on_error;
  jpeg->errors.emit_message = on_message;
  jpeg->errors.output_message = on_output;
  decompressor->client_data = jpeg;
  if (setjmp(jpeg->escape)) {
    int status = jpeg->status;
    info->width = decompressor->image_width;
    info->height = decompressor->image_height;
    idefix_jpeg_close(jpeg);
    return status;
  }

  jpeg_create_decompress(decompressor);
  jpeg->source = (struct jpeg_source_mgr){
      .next_input_byte = bytes,
      .bytes_in_buffer = count,
      .init_source = source_init,
      .fill_input_buffer = source_fill,
      .skip_input_data = source_skip,
      .resync_to_restart = jpeg_resync_to_restart,
      .term_source = source_term,
  };
  decompressor->src = &jpeg->source;
  jpeg->progress.progress_monitor = on_progress;
  decompressor->progress = &jpeg->progress;
  jpeg->max_scans = 1;
  jpeg_read_header(decompressor, TRUE);

  switch (decompressor->num_components) {
    case 1:
    case 3:
      decompressor->out_color_space = JCS_RGB;
      info->channels = 3;
      break;
    case 4:
      decompressor->out_color_space = JCS_CMYK;
      info->channels = 4;
      break;
    default:
      fail((j_common_ptr)decompressor, IDEFIX_JPEG_UNSUPPORTED);
  }
  info->width = decompressor->image_width;
  info->height = decompressor->image_height;
  *result = jpeg;
  return IDEFIX_JPEG_OK;
}

int idefix_jpeg_read(idefix_jpeg *jpeg, int max_scans, int (*is_cancelled)(void), uint8_t *pixels) {
  struct jpeg_decompress_struct *decompressor = &jpeg->decompressor;
  jpeg->max_scans = max_scans;
  jpeg->is_cancelled = is_cancelled;
  if (setjmp(jpeg->escape)) return jpeg->status;

  jpeg_start_decompress(decompressor);
  size_t stride = (size_t)decompressor->output_width * (size_t)decompressor->output_components;
  while (decompressor->output_scanline < decompressor->output_height) {
    JSAMPROW row = pixels + stride * decompressor->output_scanline;
    jpeg_read_scanlines(decompressor, &row, 1);
  }
  return IDEFIX_JPEG_OK;
}

void idefix_jpeg_close(idefix_jpeg *jpeg) {
  if (!jpeg) return;
  jpeg_destroy_decompress(&jpeg->decompressor);
  free(jpeg);
}

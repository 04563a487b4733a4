#ifndef IDEFIX_JPEG_H
#define IDEFIX_JPEG_H
#endif

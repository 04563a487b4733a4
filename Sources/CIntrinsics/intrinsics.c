// Nothing is compiled here: every function of the header is inlined where it is used.
#include "intrinsics.h"

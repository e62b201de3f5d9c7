/* The part of a C library that bindings use. There is no other. */
#ifndef ORIEL_STDLIB_H
#define ORIEL_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *block);
_Noreturn void abort(void);

#endif

/*
 * Memory, for a component that has no C library. What is freed is kept in one list and given out
 * again, first fit; memory grows when nothing fits. Meant for the few short-lived blocks of an
 * event: texts and lists that cross the border.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536
#define ALIGN 16

/* In front of every block; as large as the alignment, so that what follows is aligned. */
struct block {
    size_t size;
    struct block *next;
} __attribute__((aligned(ALIGN)));

/* Where the linker's own data ends. */
extern unsigned char __heap_base;

static struct block *freed;
static uintptr_t end;

static struct block *reuse(size_t size) {
    for (struct block **at = &freed; *at; at = &(*at)->next) {
        struct block *found = *at;
        if (found->size >= size) {
            *at = found->next;
            return found;
        }
    }
    return NULL;
}

static struct block *grow(size_t size) {
    if (!end)
        end = ((uintptr_t)&__heap_base + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
    size_t length = sizeof(struct block) + size;
    uintptr_t top = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
    if (length > top - end) {
        size_t pages = (length - (top - end) + PAGE - 1) / PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1)
            return NULL;
    }
    struct block *made = (struct block *)end;
    made->size = size;
    end += length;
    return made;
}

void *malloc(size_t size) {
    if (size > SIZE_MAX / 4)
        return NULL;
    size = size ? (size + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    struct block *block = reuse(size);
    if (!block)
        block = grow(size);
    return block ? block + 1 : NULL;
}

void free(void *pointer) {
    if (!pointer)
        return;
    struct block *block = (struct block *)pointer - 1;
    block->next = freed;
    freed = block;
}

void *realloc(void *old, size_t size) {
    if (!old)
        return malloc(size);
    struct block *block = (struct block *)old - 1;
    if (block->size >= size)
        return old;
    void *made = malloc(size);
    if (made) {
        memcpy(made, old, block->size);
        free(old);
    }
    return made;
}

_Noreturn void abort(void) {
    __builtin_trap();
}

void *memcpy(void *to, const void *from, size_t length) {
    unsigned char *out = to;
    const unsigned char *in = from;
    while (length--)
        *out++ = *in++;
    return to;
}

void *memmove(void *to, const void *from, size_t length) {
    unsigned char *out = to;
    const unsigned char *in = from;
    if (out < in)
        return memcpy(to, from, length);
    while (length--)
        out[length] = in[length];
    return to;
}

void *memset(void *to, int byte, size_t length) {
    unsigned char *out = to;
    while (length--)
        *out++ = (unsigned char)byte;
    return to;
}

int memcmp(const void *one, const void *other, size_t length) {
    const unsigned char *a = one, *b = other;
    for (; length--; a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

/* What became of an attempt to read or write without blocking. */
#ifndef CULVERT_IO_RESULT_H
#define CULVERT_IO_RESULT_H

enum io_result {
	IO_OK,     /* something moved */
	IO_AGAIN,  /* nothing moved now; not an error */
	IO_EOF,    /* the other side writes no more */
	IO_FAILED, /* err is set */
};

#endif

// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "qemu.h"

#define MEMORY	   (64UL << 20)
#define FIRMWARE   0x10000 /* bytes, at the end of the first MB */
#define MAILBOX	   0x8000
#define STACK_SIZE 16384
#define TIMEOUT_S  100

/* At MAILBOX. The firmware knows the offsets. */
struct mailbox {
	__u64 cr3;
	__u32 go, done; /* equal: idle */
	__u64 guest, arg, stack;
};

struct qemu {
	pid_t pid;
	int memory, firmware; /* files */
	volatile struct mailbox *box;
};

extern char __executable_start[], _end[];
extern const char firmware[];

static unsigned char stack[STACK_SIZE] __attribute__((aligned(4096)));

/* From the reset vector to 64-bit mode; then call what the mailbox says, again and again. It runs at 0xf0000. */
#define STRING(x) #x
#define AT(addr)  STRING(addr)
asm(".pushsection .rodata.firmware, \"a\"\n"
    "	.code16\n"
    "firmware:\n"
    "	cli\n"
    "	cld\n"
    "	lgdtl	%cs:(gdtr - firmware)\n"
    "	movl	$0x11, %eax\n" /* ET, PE; caches on */
    "	movl	%eax, %cr0\n"
    "	ljmpl	$8, $(protected - firmware + 0xf0000)\n"
    "	.code32\n"
    "protected:\n"
    "	movl	$16, %eax\n"
    "	movw	%ax, %ds\n"
    "	movw	%ax, %es\n"
    "	movw	%ax, %ss\n"
    "	movl	$0x20, %eax\n" /* PAE */
    "	movl	%eax, %cr4\n"
    "	movl	" AT(MAILBOX) ", %eax\n"
    "	movl	%eax, %cr3\n"
    "	movl	$0xc0000080, %ecx\n" /* EFER.LME */
    "	rdmsr\n"
    "	orl	$0x100, %eax\n"
    "	wrmsr\n"
    "	movl	$0x80000033, %eax\n" /* PG, NE, ET, MP, PE */
    "	movl	%eax, %cr0\n"
    "	ljmpl	$24, $(loop - firmware + 0xf0000)\n"
    "	.code64\n"
    "loop:\n"
    "	movl	$" AT(MAILBOX) ", %ebx\n"
    "1:	pause\n"
    "	movl	8(%rbx), %eax\n"
    "	cmpl	12(%rbx), %eax\n"
    "	je	1b\n"
    "	movq	32(%rbx), %rsp\n"
    "	movq	24(%rbx), %rdi\n"
    "	call	*16(%rbx)\n"
    "	movl	8(%rbx), %eax\n"
    "	movl	%eax, 12(%rbx)\n"
    "	jmp	1b\n"
    "	.balign	8\n"
    "gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff\n"
    "gdtr:	.word	31\n"
    "	.long	gdt - firmware + 0xf0000\n"
    "	.org	firmware + 0xfff0\n"
    "	.code16\n"
    "	ljmp	$0xf000, $0\n"
    "	.org	firmware + 0x10000\n"
    "	.code64\n"
    "	.popsection\n");

static int memory_file(const char *name, size_t size)
{
	int fd = memfd_create(name, 0);

	TEST_ASSERT(fd >= 0 && !ftruncate(fd, size), "%s: %s", name, strerror(errno));
	return fd;
}

/* The image moves into the file: nothing may write to it between the copy and the mapping. */
static void share_image(int memory)
{
	unsigned long start = (unsigned long)__executable_start & ~4095UL, size = (((unsigned long)_end + 4095) & ~4095UL) - start;
	ssize_t n;
	void *at;

	TEST_ASSERT(start >= 1 << 20 && start + size <= MEMORY, "the image ends at %#lx", start + size);
	n = pwrite(memory, (void *)start, size, start);
	at = mmap((void *)start, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED, memory, start);
	TEST_ASSERT(n == (ssize_t)size && at == (void *)start, "the image was not shared: %s", strerror(errno));
}

static const char *binary(void)
{
	return getenv("QEMU") ? : "qemu-system-x86_64";
}

int qemu_version(void)
{
	int major = 0, minor = 0;
	char cmd[256];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "'%s' --version", binary());
	f = popen(cmd, "r");
	TEST_ASSERT(f && fscanf(f, "QEMU emulator version %d.%d", &major, &minor) == 2, "no version from %s", cmd);
	pclose(f);
	return major * 100 + minor;
}

static void exec_qemu(const struct qemu *q, const char *machine)
{
	char memory[128], firm[64], all[128];

	snprintf(memory, sizeof(memory), "memory-backend-file,id=ram,size=%lu,share=on,mem-path=/proc/self/fd/%d", MEMORY, q->memory);
	snprintf(firm, sizeof(firm), "/proc/self/fd/%d", q->firmware);
	snprintf(all, sizeof(all), "%s,memory-backend=ram", machine);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execlp(binary(), binary(), "-accel", "kvm", "-cpu", "max", "-m", "64", "-object", memory,
	       "-machine", all, "-bios", firm, "-nodefaults", "-display", "none", NULL);
	TEST_FAIL("%s: %s", binary(), strerror(errno));
}

struct qemu *qemu_start(const char *machine)
{
	struct qemu *q = calloc(1, sizeof(*q));
	char *all;

	TEST_ASSERT(q, "out of memory");
	q->memory = memory_file("memory", MEMORY);
	q->firmware = memory_file("firmware", FIRMWARE);
	TEST_EQ(pwrite(q->firmware, firmware, FIRMWARE, 0), FIRMWARE);
	all = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, q->memory, 0);
	TEST_ASSERT(all != MAP_FAILED, "mmap: %s", strerror(errno));
	q->box = (void *)(all + MAILBOX);
	q->box->cr3 = vmm_page_tables();
	q->box->stack = (unsigned long)(stack + STACK_SIZE);
	fflush(NULL);
	share_image(q->memory);
	q->pid = fork();
	TEST_ASSERT(q->pid >= 0, "fork: %s", strerror(errno));
	if (!q->pid)
		exec_qemu(q, machine);
	return q;
}

void qemu_end(struct qemu *q)
{
	kill(q->pid, SIGKILL);
	waitpid(q->pid, NULL, 0);
	munmap((char *)q->box - MAILBOX, MEMORY);
	close(q->memory);
	close(q->firmware);
	free(q);
}

pid_t qemu_pid(const struct qemu *q)
{
	return q->pid;
}

void qemu_run(struct qemu *q, void (*guest)(long), long arg)
{
	__u64 start = now_ns();
	int status;

	q->box->guest = (unsigned long)guest;
	q->box->arg = arg;
	__atomic_store_n(&q->box->go, q->box->go + 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&q->box->done, __ATOMIC_ACQUIRE) != q->box->go) {
		usleep(100);
		TEST_ASSERT(!waitpid(q->pid, &status, WNOHANG), "QEMU ended: wait status %#x", status);
		TEST_ASSERT(now_ns() - start < TIMEOUT_S * 1000000000ULL, "the guest has not returned after %d s", TIMEOUT_S);
	}
}

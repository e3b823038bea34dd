// SPDX-License-Identifier: GPL-2.0
/* What the module must refuse at attach, with which error; each time, nothing has changed. */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "recorder.h"

#define PORT 0x608

static void guest_read(long port)
{
	inl(port);
}

/* Attach as told by @set; returns 0 or the errno. */
static int try(struct vmm *vmm, void (*set)(struct kvm_iofilter_ops *ops, struct vmm *vmm))
{
	struct record_bpf *skel = recorder_open(vmm, NULL, KVM_IOFILTER_PIO, PORT, 4);
	struct recorder rec;
	int err = 0;

	set(filter_ops(skel->maps.record_ops), vmm);
	recorder_load(&rec, skel);
	rec.link = __filter_attach(skel->maps.record_ops);
	if (!rec.link)
		err = errno;
	recorder_free(&rec);
	return err;
}

static void fine(struct kvm_iofilter_ops *ops, struct vmm *vmm)
{
	(void)ops, (void)vmm;
}

#define CASE(name, ...) \
	static void name(struct kvm_iofilter_ops *ops, struct vmm *vmm) \
	{ \
		(void)vmm; \
		__VA_ARGS__; \
	}

CASE(flags_unknown, ops->flags |= 1U << 31)
CASE(flags_sample_alone, ops->flags = KVM_IOFILTER_F_SAMPLE)
CASE(sample_without_flag, ops->flags = KVM_IOFILTER_F_CLOCK)
CASE(ranges_none, ops->nr_ranges = 0)
CASE(ranges_many, ops->nr_ranges = KVM_IOFILTER_MAX_RANGES + 1)
CASE(len_none, ops->ranges[0].len = 0)
CASE(len_large, ops->ranges[0].bus = KVM_IOFILTER_MMIO; ops->ranges[0].len = 4097)
CASE(len_beyond_ports, ops->ranges[0].addr = 0xfffe)
CASE(bus_unknown, ops->ranges[0].bus = 2)
CASE(addr_wraps, ops->ranges[0].bus = KVM_IOFILTER_MMIO; ops->ranges[0].addr = ~0ULL - 1)
CASE(range_twice, ops->nr_ranges = 2; ops->ranges[1] = ops->ranges[0])
CASE(name_empty, ops->name[0] = 0)
CASE(name_upper, strcpy(ops->name, "Timer"))
CASE(name_slash, strcpy(ops->name, "a/b"))
CASE(name_endless, memset(ops->name, 'a', sizeof(ops->name)))
CASE(fd_none, ops->vm_fd = -1)
CASE(fd_closed, ops->vm_fd = 1000)
CASE(fd_file, ops->vm_fd = open("/proc/self/exe", O_RDONLY))
CASE(fd_kvm, ops->vm_fd = vmm->kvm)
CASE(fd_vcpu, ops->vm_fd = vmm->vcpus[0].fd)

static void values(void)
{
	static const struct {
		const char *name;
		void (*set)(struct kvm_iofilter_ops *ops, struct vmm *vmm);
		int err;
	} rows[] = {
		{ "unknown flag", flags_unknown, EINVAL },
		{ "F_SAMPLE without F_CLOCK", flags_sample_alone, EINVAL },
		{ "sample op without F_SAMPLE", sample_without_flag, EINVAL },
		{ "no range", ranges_none, EINVAL },
		{ "too many ranges", ranges_many, EINVAL },
		{ "length 0", len_none, EINVAL },
		{ "length 4097", len_large, EINVAL },
		{ "beyond the last port", len_beyond_ports, EINVAL },
		{ "unknown bus", bus_unknown, EINVAL },
		{ "address wraps", addr_wraps, EINVAL },
		{ "the same range twice", range_twice, EINVAL },
		{ "no name", name_empty, EINVAL },
		{ "upper case in the name", name_upper, EINVAL },
		{ "slash in the name", name_slash, EINVAL },
		{ "name without end", name_endless, EINVAL },
		{ "vm_fd -1", fd_none, EBADF },
		{ "vm_fd not open", fd_closed, EBADF },
		{ "vm_fd a file", fd_file, EINVAL },
		{ "vm_fd /dev/kvm", fd_kvm, EINVAL },
		{ "vm_fd a vCPU", fd_vcpu, EINVAL },
		{ "control", fine, 0 },
	};
	struct vmm *vmm = vmm_new(1, 0);
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		err = try(vmm, rows[i].set);
		TEST_ASSERT(err == rows[i].err, "%s: wanted error %d, got %d", rows[i].name, rows[i].err, err);
		TEST_EQ(filter_rows(), 0);
		vmm_run(vmm, 0, guest_read, PORT);
		TEST_EQ(vmm_exits(vmm), i + 1);
	}
	vmm_free(vmm);
}

/* A second filter on the same VM. */
static void attached_already(void)
{
	static const struct {
		const char *name;
		__u32 bus, len, addr;
		int err;
	} rows[] = {
		{ "other", KVM_IOFILTER_PIO, 4, PORT, EEXIST },
		{ "other", KVM_IOFILTER_PIO, 1, PORT + 3, EEXIST },
		{ "other", KVM_IOFILTER_PIO, 2, PORT - 1, EEXIST },
		{ "record", KVM_IOFILTER_PIO, 4, 0xb008, EEXIST },
		{ "other", KVM_IOFILTER_PIO, 4, PORT + 4, 0 },
		{ "other", KVM_IOFILTER_PIO, 1, PORT - 1, 0 },
		{ "other", KVM_IOFILTER_MMIO, 4, PORT, 0 },
	};
	struct vmm *vmm = vmm_new(1, 0), *vmm2 = vmm_new(1, 0);
	struct recorder first, second;
	unsigned int i;

	recorder_attach(&first, vmm, KVM_IOFILTER_PIO, PORT, 4);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		recorder_load(&second, recorder_open(vmm, rows[i].name, rows[i].bus, rows[i].addr, rows[i].len));
		second.link = __filter_attach(second.skel->maps.record_ops);
		TEST_ASSERT((second.link ? 0 : errno) == rows[i].err, "row %u: wanted error %d, got %d", i, rows[i].err,
			    second.link ? 0 : errno);
		TEST_EQ(filter_rows(), rows[i].err ? 1 : 2);
		recorder_free(&second);
	}
	recorder_attach(&second, vmm2, KVM_IOFILTER_PIO, PORT, 4);
	TEST_EQ(filter_rows(), 2);
	recorder_free(&second);

	first.r->answer_reads = 1;
	vmm_run(vmm, 0, guest_read, PORT);
	TEST_EQ(vmm_exits(vmm), 0);
	recorder_free(&first);
	vmm_free(vmm);
	vmm_free(vmm2);
}

static void pit_bytes(struct kvm_iofilter_ops *ops, struct vmm *vmm)
{
	int i;

	(void)vmm;
	for (i = 0; i < 4; i++)
		ops->ranges[i] = (struct kvm_iofilter_range){ .addr = 0x40 + i, .len = 1, .bus = KVM_IOFILTER_PIO };
	ops->nr_ranges = 4;
}

CASE(pit_last, ops->ranges[0].addr = 0x43; ops->ranges[0].len = 1)
CASE(pit_whole, ops->ranges[0].addr = 0x40)
CASE(rtc_window, ops->ranges[0].addr = 0x70)
CASE(rtc_exact, ops->ranges[0].addr = 0x73; ops->ranges[0].len = 1)

/* Layouts that would hide an access from a device of KVM's, or from us. */
static void layouts(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x72, .size = 1, .pio = 1 };
	struct vmm *vmm = vmm_new(1, VMM_PIT), *plain = vmm_new(1, 0);

	TEST_EQ(try(vmm, pit_bytes), EBUSY);
	/* Behind KVM's PIT, which answers all of its ports, we would never be asked. */
	TEST_EQ(try(vmm, pit_last), EBUSY);
	TEST_EQ(try(vmm, pit_whole), 0);
	TEST_EQ(try(plain, pit_bytes), 0);
	TEST_EQ(try(plain, pit_last), 0);

	TEST_ASSERT(!ioctl(plain->fd, KVM_REGISTER_COALESCED_MMIO, &zone), "coalesced zone: %s", strerror(errno));
	TEST_EQ(try(plain, rtc_window), EBUSY);
	TEST_EQ(try(plain, rtc_exact), 0);
	TEST_EQ(filter_rows(), 0);
	vmm_free(vmm);
	vmm_free(plain);
}

/* Over KVM's own PIT, the filter is asked first, and what it punts KVM's PIT answers. */
static void over_the_pit(void)
{
	struct vmm *vmm = vmm_new(1, VMM_PIT);
	struct recorder rec;

	recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, 0x40, 4);
	rec.r->answer_reads = 1;
	vmm_run(vmm, 0, guest_read, 0x40);
	TEST_EQ(rec.r->nr, 1);
	rec.r->answer_reads = 0;
	vmm_run(vmm, 0, guest_read, 0x40);
	TEST_EQ(rec.r->nr, 2);
	TEST_EQ(vmm_exits(vmm), 0);
	recorder_free(&rec);
	vmm_free(vmm);
}

static void keep_caps(__u64 caps)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ .effective = caps, .permitted = caps },
		{ .effective = caps >> 32, .permitted = caps >> 32 },
	};

	TEST_ASSERT(!syscall(SYS_capset, &h, d), "capset: %s", strerror(errno));
}

/* Whoever holds the descriptors of a map and a VM may not attach without the rights to load a program. */
static void capabilities(void)
{
	static const struct {
		__u64 caps;
		int err;
	} rows[] = {
		{ 0, EPERM },
		{ 1ULL << CAP_BPF, EPERM },
		{ 1ULL << CAP_PERFMON, EPERM },
		{ 1ULL << CAP_BPF | 1ULL << CAP_PERFMON, 0 },
	};
	struct vmm *vmm = vmm_new(1, 0);
	struct recorder rec;
	unsigned int i;
	int status;

	recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
	bpf_link__destroy(rec.link);
	rec.link = NULL;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		pid_t pid = fork();

		if (!pid) {
			int fd;

			keep_caps(rows[i].caps);
			fd = bpf_link_create(bpf_map__fd(rec.skel->maps.record_ops), 0, BPF_STRUCT_OPS, NULL);
			_exit(fd < 0 ? -fd : 0);
		}
		TEST_ASSERT(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "the child died: status %#x", status);
		TEST_ASSERT(WEXITSTATUS(status) == rows[i].err, "capabilities %#llx: wanted error %d, got %d", rows[i].caps,
			    rows[i].err, WEXITSTATUS(status));
	}
	TEST_EQ(filter_rows(), 0);
	recorder_free(&rec);
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "values", values },
		{ "attached_already", attached_already },
		{ "layouts", layouts },
		{ "over_the_pit", over_the_pit },
		{ "capabilities", capabilities },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}

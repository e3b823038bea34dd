// SPDX-License-Identifier: GPL-2.0
/*
 * kvm_iofilter: filter programs on KVM's I/O buses. This file is the struct_ops type: what a program may do, and which
 * values its data members may have. The life of an attached filter is in filter.c, an access in access.c.
 */
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/ctype.h>
#include <linux/filter.h>
#include <linux/module.h>
#include "iofilter.h"

struct workqueue_struct *iofilter_wq;

/* Set when BPF has taken the type: register_bpf_struct_ops() reports success for a module without usable BTF, too. */
static const struct btf *iofilter_btf;
/* BTF ids of struct kvm_iofilter_req and kvm_iofilter_sample, the only things that programs may write to. */
static u32 iofilter_req_id, iofilter_sample_id;

static int iofilter_init_type(struct btf *btf)
{
	iofilter_btf = btf;
	return 0;
}

/* The struct that the op's first argument points to. 0: none. */
static u32 first_arg_struct(const struct btf_member *member)
{
	const struct btf_type *t = btf_type_by_id(iofilter_btf, member->type);
	u32 id;

	if (!t || !btf_type_is_ptr(t))
		return 0;
	t = btf_type_by_id(iofilter_btf, t->type);
	if (!t || !btf_type_is_func_proto(t) || !btf_type_vlen(t))
		return 0;
	t = btf_type_by_id(iofilter_btf, btf_params(t)[0].type);
	if (!t || !btf_type_is_ptr(t))
		return 0;
	id = t->type;
	t = btf_type_by_id(iofilter_btf, id);
	return t && btf_type_is_struct(t) ? id : 0;
}

static int iofilter_check_member(const struct btf_type *t, const struct btf_member *member, const struct bpf_prog *prog)
{
	u32 moff = __btf_member_bit_offset(t, member) / 8;

	/* A program that sleeps would hold up kvm->srcu, and outlive an update. */
	if (prog->sleepable)
		return -EINVAL;
	if (moff == offsetof(struct kvm_iofilter_ops, read))
		iofilter_req_id = first_arg_struct(member);
	if (moff == offsetof(struct kvm_iofilter_ops, sample))
		iofilter_sample_id = first_arg_struct(member);
	return 0;
}

/* No timers (they outlive a detach), no memory reads, nothing that prints or sleeps. */
static const struct bpf_func_proto *iofilter_get_func_proto(enum bpf_func_id func_id, const struct bpf_prog *prog)
{
	switch (func_id) {
	case BPF_FUNC_map_lookup_elem:
	case BPF_FUNC_map_update_elem:
	case BPF_FUNC_map_delete_elem:
	case BPF_FUNC_map_lookup_percpu_elem:
	case BPF_FUNC_get_smp_processor_id:
	case BPF_FUNC_ktime_get_ns:
	case BPF_FUNC_loop:
	case BPF_FUNC_ringbuf_output:
	case BPF_FUNC_ringbuf_reserve:
	case BPF_FUNC_ringbuf_submit:
	case BPF_FUNC_ringbuf_discard:
		return bpf_base_func_proto(func_id, prog);
	default:
		return NULL;
	}
}

static bool iofilter_is_valid_access(int off, int size, enum bpf_access_type type, const struct bpf_prog *prog,
				     struct bpf_insn_access_aux *info)
{
	return bpf_tracing_btf_ctx_access(off, size, type, prog, info);
}

static int iofilter_btf_struct_access(struct bpf_verifier_log *log, const struct bpf_reg_state *reg, int off, int size)
{
	static const struct {
		const u32 *id;
		int start, end;
	} writable[] = {
		{ &iofilter_req_id, offsetof(struct kvm_iofilter_req, val), offsetofend(struct kvm_iofilter_req, val) },
		{ &iofilter_req_id, offsetof(struct kvm_iofilter_req, delay), offsetofend(struct kvm_iofilter_req, delay) },
		{ &iofilter_sample_id, offsetof(struct kvm_iofilter_sample, moved), offsetofend(struct kvm_iofilter_sample, moved) },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(writable); i++)
		if (reg->btf == iofilter_btf && *writable[i].id && reg->btf_id == *writable[i].id &&
		    off >= writable[i].start && off + size <= writable[i].end)
			return SCALAR_VALUE;
	bpf_log(log, "only val and delay of struct kvm_iofilter_req may be written, and moved of struct kvm_iofilter_sample\n");
	return -EACCES;
}

static const struct bpf_verifier_ops iofilter_verifier_ops = {
	.get_func_proto = iofilter_get_func_proto,
	.is_valid_access = iofilter_is_valid_access,
	.btf_struct_access = iofilter_btf_struct_access,
};

static int iofilter_init_member(const struct btf_type *t, const struct btf_member *member, void *kdata, const void *udata)
{
	u32 moff = __btf_member_bit_offset(t, member) / 8;
	struct kvm_iofilter_ops *ops = kdata;
	const struct kvm_iofilter_ops *uops = udata;

	switch (moff) {
	case offsetof(struct kvm_iofilter_ops, vm_fd):
		ops->vm_fd = uops->vm_fd;
		return 1;
	case offsetof(struct kvm_iofilter_ops, flags):
		ops->flags = uops->flags;
		return 1;
	case offsetof(struct kvm_iofilter_ops, nr_ranges):
		ops->nr_ranges = uops->nr_ranges;
		return 1;
	case offsetof(struct kvm_iofilter_ops, name):
		memcpy(ops->name, uops->name, sizeof(ops->name));
		return 1;
	case offsetof(struct kvm_iofilter_ops, eventfds):
		memcpy(ops->eventfds, uops->eventfds, sizeof(ops->eventfds));
		return 1;
	case offsetof(struct kvm_iofilter_ops, ranges):
		memcpy(ops->ranges, uops->ranges, sizeof(ops->ranges));
		return 1;
	}
	return 0;
}

static int check_name(const char *name)
{
	size_t n = strnlen(name, KVM_IOFILTER_NAME_LEN), i;

	if (!n || n == KVM_IOFILTER_NAME_LEN)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!islower(name[i]) && !isdigit(name[i]) && name[i] != '_' && name[i] != '-')
			return -EINVAL;
	return 0;
}

static int iofilter_validate(void *kdata)
{
	const struct kvm_iofilter_ops *ops = kdata;
	u32 i, j;

	if (ops->flags & ~KVM_IOFILTER_F_ALL)
		return -EINVAL;
	if (ops->flags & KVM_IOFILTER_F_SAMPLE && !(ops->flags & KVM_IOFILTER_F_CLOCK))
		return -EINVAL;
	if (ops->sample && !(ops->flags & KVM_IOFILTER_F_SAMPLE))
		return -EINVAL;
	if (!ops->nr_ranges || ops->nr_ranges > KVM_IOFILTER_MAX_RANGES || check_name(ops->name))
		return -EINVAL;
	for (i = 0; i < ops->nr_ranges; i++) {
		const struct kvm_iofilter_range *r = &ops->ranges[i];

		if (r->bus != KVM_IOFILTER_MMIO && r->bus != KVM_IOFILTER_PIO)
			return -EINVAL;
		if (!r->len || r->len > PAGE_SIZE || r->addr + r->len < r->addr)
			return -EINVAL;
		if (r->bus == KVM_IOFILTER_PIO && r->addr + r->len > 0x10000)
			return -EINVAL;
		/* Windows of one filter may overlap, but twice the same one would only ever reach the first. */
		for (j = 0; j < i; j++)
			if (!memcmp(r, &ops->ranges[j], sizeof(*r)))
				return -EINVAL;
	}
	return 0;
}

static int stub_read(struct kvm_iofilter_req *req)
{
	return 0;
}

static int stub_write(struct kvm_iofilter_req *req)
{
	return 0;
}

static void stub_sample(struct kvm_iofilter_sample *sample)
{
}

static int stub_quiesce(int last)
{
	return 0;
}

BTF_KFUNCS_START(iofilter_kfuncs)
BTF_ID_FLAGS(func, kvm_iofilter_pit, KF_TRUSTED_ARGS)
BTF_ID_FLAGS(func, kvm_iofilter_signal, KF_TRUSTED_ARGS)
BTF_ID_FLAGS(func, kvm_iofilter_line, KF_TRUSTED_ARGS)
BTF_ID_FLAGS(func, kvm_iofilter_string, KF_TRUSTED_ARGS)
BTF_KFUNCS_END(iofilter_kfuncs)

static const struct btf_kfunc_id_set iofilter_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &iofilter_kfuncs,
};

static struct kvm_iofilter_ops iofilter_cfi_stubs = {
	.read = stub_read,
	.write = stub_write,
	.sample = stub_sample,
	.quiesce = stub_quiesce,
};

static struct bpf_struct_ops iofilter_struct_ops = {
	.verifier_ops = &iofilter_verifier_ops,
	.init = iofilter_init_type,
	.check_member = iofilter_check_member,
	.init_member = iofilter_init_member,
	.validate = iofilter_validate,
	.reg = iofilter_reg,
	.unreg = iofilter_unreg,
	.update = iofilter_update,
	.cfi_stubs = &iofilter_cfi_stubs,
	.name = "kvm_iofilter_ops",
	.owner = THIS_MODULE,
};

static int __init iofilter_init(void)
{
	int err;

	BUILD_BUG_ON((int)KVM_IOFILTER_MMIO != (int)KVM_MMIO_BUS || (int)KVM_IOFILTER_PIO != (int)KVM_PIO_BUS);

	iofilter_wq = alloc_workqueue("kvm_iofilter", WQ_UNBOUND, 0);
	if (!iofilter_wq)
		return -ENOMEM;
	err = register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS, &iofilter_kfunc_set);
	if (!err)
		err = register_bpf_struct_ops(&iofilter_struct_ops, kvm_iofilter_ops);
	if (!err && !iofilter_btf) {
		pr_err(pr_iofilter "no usable BTF in this module: build it with the kernel's vmlinux at hand (KDIR), and with pahole\n");
		err = -ENOEXEC;
	}
	if (err) {
		destroy_workqueue(iofilter_wq);
		return err;
	}
	iofilter_debugfs_init();
	return 0;
}

static void __exit iofilter_exit(void)
{
	/* A filter pins the module through its map, so none is left; only the tails of their work may be. */
	iofilter_debugfs_exit();
	destroy_workqueue(iofilter_wq);
}

module_init(iofilter_init);
module_exit(iofilter_exit);
MODULE_DESCRIPTION("BPF filter programs on the I/O exits of KVM");
MODULE_LICENSE("GPL");

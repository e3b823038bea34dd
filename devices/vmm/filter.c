// SPDX-License-Identifier: GPL-2.0
#include "vmm.h"
int filters_attach(struct vmm *vmm){(void)vmm;return 0;}
void filters_detach(struct vmm *vmm){(void)vmm;}
void filters_after(struct vmm *vmm, const struct region *r, bool write){(void)vmm;(void)r;(void)write;}
void filters_stopped(struct vmm *vmm){(void)vmm;}
void filters_started(struct vmm *vmm){(void)vmm;}
void filters_stats(struct vmm *vmm, FILE *f){(void)vmm;(void)f;}

'use strict';
// Filters of the logs and tables, and pictures at their full size. Without
// this the page shows all it has.
{
  const search = document.getElementById('log-search');
  const level = document.getElementById('log-level');
  const filter = () => {
    const text = search.value.toLowerCase();
    const least = Number(level.value);
    let shown = 0, all = 0;
    for (const log of document.querySelectorAll('.log')) {
      let here = 0;
      for (const line of log.querySelectorAll('.lines > div')) {
        all++;
        const is = line.className ? Number(line.className.slice(1)) : 0;
        line.hidden = is < least || !line.textContent.toLowerCase().includes(text);
        if (!line.hidden) here++;
      }
      log.querySelector('.count').textContent = text || least ? `${here} of ` : '';
      if (text || least) log.open = here > 0;
      shown += here;
    }
    document.getElementById('log-count').textContent = text || least ? `${shown} of ${all} lines` : '';
  };
  if (search) {
    search.addEventListener('input', filter);
    level.addEventListener('input', filter);
  }

  for (const input of document.querySelectorAll('[data-filters]')) {
    input.addEventListener('input', () => {
      const text = input.value.toLowerCase();
      let shown = 0;
      const rows = document.querySelectorAll(`#${input.dataset.filters} tbody tr`);
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(text);
        if (!row.hidden) shown++;
      }
      input.closest('.filters').querySelector('output').textContent = text ? `${shown} of ${rows.length}` : '';
    });
  }

  const dialog = document.getElementById('picture');
  for (const button of document.querySelectorAll('.zoom')) {
    button.addEventListener('click', () => {
      dialog.querySelector('img').src = button.querySelector('img').src;
      dialog.showModal();
    });
  }

  // A log opens at its first line that matters.
  const atLine = (log) => {
    const line = log.open && log.querySelector('[data-here]');
    if (line) line.parentElement.scrollTop = line.offsetTop - line.parentElement.offsetTop - line.parentElement.clientHeight / 3;
  };
  for (const log of document.querySelectorAll('.log')) {
    log.addEventListener('toggle', () => atLine(log));
    atLine(log);
  }

  // On a phone the sections are folded, so that the page is a list of them.
  if (matchMedia('(max-width: 45rem)').matches) {
    for (const details of document.querySelectorAll('.fold')) details.open = false;
  }

  // What is linked to has to be seen, and what is printed too.
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    let folded = [...target.querySelectorAll(':scope > details.fold')];
    for (let e = target; e; e = e.parentElement) if (e instanceof HTMLDetailsElement) folded.push(e);
    folded = folded.filter((details) => !details.open);
    for (const details of folded) details.open = true;
    if (folded.length) target.scrollIntoView();
  };
  addEventListener('hashchange', open);
  open();
  let closed = [];
  addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('details:not(.log):not([open])')];
    for (const details of closed) details.open = true;
  });
  addEventListener('afterprint', () => { for (const details of closed) details.open = false; });
}

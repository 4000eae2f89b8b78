/** Date and time in the local time zone: `11/24/2026, 4:04:53 PM`. */
export const formatTime = (date: Date): string => date.toLocaleString('en-US')
export const formatDay = (date: Date): string => date.toLocaleDateString('en-US')
